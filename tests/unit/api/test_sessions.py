"""The sessions that one process keeps. The clock for silence is the test's; times of events are real."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from msgspec import Raw

from neonblue_api.event_input import EventRow, encode_rows
from neonblue_api.sessions import Sessions
from neonblue_api.settings import Settings

GAP = 1_800


def _sessions(gap: float = GAP) -> Sessions:
    servers = {"postgres_url": "postgresql://h/d", "clickhouse_url": "http://h:1", "api_token": "a" * 16}
    return Sessions(Settings(**servers, session_gap=gap), None)


def _row(user: str = "u", session: str | None = None, ago: float | None = None) -> EventRow:
    at = None if ago is None else f"{datetime.now(UTC) - timedelta(seconds=ago):%Y-%m-%dT%H:%M:%S.%fZ}"
    return EventRow(uuid4(), user, "x", at, None, Raw(b"{}"), session, None)


def _filled(kept: Sessions, *rows: EventRow) -> list[str | None]:
    asyncio.run(kept.fill(list(rows)))
    return [row.running_session for row in rows]


def test_a_user_stays_in_a_session_until_silent_for_the_gap(clock):
    kept = _sessions()
    first, second = _filled(kept, _row(), _row())
    clock.now += GAP * 0.9
    (third,) = _filled(kept, _row())
    clock.now += GAP * 0.9
    (fourth,) = _filled(kept, _row(ago=5))
    clock.now += GAP
    (fifth,) = _filled(kept, _row())
    assert first is not None
    assert {first, second, third, fourth} == {first}
    assert fifth not in (None, first)


def test_users_do_not_share_sessions(clock):
    first, second = _filled(_sessions(), _row("u"), _row("v"))
    assert first != second


def test_a_session_that_the_client_names_goes_on(clock):
    kept = _sessions()
    assert _filled(kept, _row(session="theirs"), _row()) == [None, "theirs"]
    assert _filled(kept, _row()) == ["theirs"]


def test_an_event_of_the_past_gets_no_session(clock):
    assert _filled(_sessions(), _row(ago=GAP + 60)) == [None]


def test_without_a_gap_rows_stay_as_they_came(clock):
    row = _row()
    as_it_came = encode_rows([row])
    _filled(_sessions(gap=0), row)
    assert encode_rows([row]) == as_it_came
    assert "running_session" not in as_it_came
