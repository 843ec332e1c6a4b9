import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neonblue_api.errors import InvalidInput, MalformedJson
from neonblue_api.event_input import EventReader, encode_rows
from neonblue_api.settings import Settings

READER = EventReader(
    Settings(postgres_url="postgresql://x", clickhouse_url="http://x", api_token="x" * 16)  # type: ignore[arg-type]
)
NOW = datetime.now(UTC).replace(microsecond=123456)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2026-06-01T10:00:00Z", "2026-06-01T10:00:00.000000Z"),
        ("2026-06-01T10:00:00.123Z", "2026-06-01T10:00:00.123000Z"),
        ("2026-06-01t10:00:00.123456z", "2026-06-01T10:00:00.123456Z"),
        ("2026-06-01 12:00:00.1234560000+02:00", "2026-06-01T10:00:00.123456Z"),
        ("2026-06-01T00:30:00-23:59", "2026-06-02T00:29:00.000000Z"),
    ],
)
def test_a_time_is_stored_in_utc_to_the_microsecond(given, stored):
    body = json.dumps({"user_id": "u", "event_type": "x", "timestamp": given}).encode()
    assert READER.one(body, None).timestamp == stored


@given(
    st.datetimes(
        min_value=(NOW - timedelta(days=1000)).replace(tzinfo=None),
        max_value=(NOW - timedelta(days=2)).replace(tzinfo=None),
    ),
    st.integers(-14 * 60, 14 * 60),
)
def test_a_time_in_any_zone_stays_the_same_instant(moment, minutes):
    local = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=minutes)))
    body = json.dumps({"user_id": "u", "event_type": "x", "timestamp": local.isoformat()}).encode()
    stored = READER.one(body, None).timestamp
    assert stored is not None
    assert datetime.fromisoformat(stored) == local
    assert len(stored) == 27


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.fixed_dictionaries(
    {"user_id": TEXT, "event_type": TEXT, "properties": st.dictionaries(TEXT, VALUES, max_size=3)},
    optional={"session_id": TEXT | st.none(), "id": st.uuids().map(str) | st.none(), "experiment": st.none()},
)


@given(st.lists(EVENTS, max_size=5), st.booleans(), st.booleans())
def test_what_a_client_sends_reaches_the_database_call_unchanged(events, ascii_only, as_lines):
    if as_lines:
        decoded = READER.lines("\n".join(json.dumps(e, ensure_ascii=ascii_only) for e in events).encode(), "r")
    else:
        decoded = READER.batch(json.dumps({"events": events}, ensure_ascii=ascii_only).encode(), "r")
    assert decoded.rejected == []
    rows = json.loads(encode_rows(decoded.rows))
    assert len(rows) == len(events)
    for event, row in zip(events, rows, strict=True):
        stored_id = UUID(row.pop("id"))
        assert event.get("id") is None or stored_id == UUID(event["id"])
        assert row == {
            "user_id": event["user_id"],
            "event_type": event["event_type"],
            "timestamp": None,
            "experiment": None,
            "properties": event["properties"],
            "session_id": event.get("session_id"),
            "request_id": "r",
        }


BAD = ['{"user_id": 1, "event_type": "x"}', '{"user_id": "u", "user_id": "u", "event_type": "x"}', "{", "[]", '"a"']


@given(st.lists(st.sampled_from([*BAD, '{"user_id": "u", "event_type": "x"}']), max_size=6))
def test_each_bad_event_is_listed_and_each_good_one_kept(lines):
    decoded = READER.lines("\n".join(lines).encode(), None)
    bad = [index for index, line in enumerate(lines) if line in BAD]
    assert [item.index for item in decoded.rejected] == bad
    assert list(decoded.positions) == [index for index in range(len(lines)) if index not in bad]
    assert len(decoded.rows) == len(decoded.positions)


def test_an_event_without_an_id_gets_one_of_its_own():
    body = b'{"events": [' + b",".join([b'{"user_id": "u", "event_type": "x"}'] * 100) + b"]}"
    assert len({row.id for row in READER.batch(body, None).rows}) == 100


def test_a_single_event_is_refused_with_the_field_that_is_wrong():
    with pytest.raises(InvalidInput, match="user_id") as refused:
        READER.one(b'{"user_id": 5, "event_type": "x"}', None)
    assert refused.value.errors == [{"field": "user_id", "message": "Expected `str`, got `int`"}]
    with pytest.raises(MalformedJson, match="twice"):
        READER.one(b'{"user_id": "u", "event_type": "x", "event_type": "y"}', None)


def test_properties_keep_the_digits_of_their_numbers():
    body = b'{"user_id": "u", "event_type": "x", "properties": {"n": 0.10000000000000000000001, "m": 1e2}}'
    assert bytes(
        msgspec.json.decode(encode_rows([READER.one(body, None)]), type=list[dict[str, msgspec.Raw]])[0]["properties"]
    ) == (b'{"n": 0.10000000000000000000001, "m": 1e2}')
