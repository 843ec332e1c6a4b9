import asyncio
import json
import threading
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neonblue_api.assignment_input import AssignmentReader
from neonblue_api.bodies import decoded
from neonblue_api.errors import ApiError, InvalidInput, MalformedJson
from neonblue_api.event_input import EventReader, encode_rows
from neonblue_api.fact_input import TOGETHER
from neonblue_api.pseudonyms import pseudonyms
from neonblue_api.settings import Settings

SETTINGS = Settings(postgres_url="postgresql://x", clickhouse_url="http://x", api_token="x" * 16)  # type: ignore[arg-type]
READER = EventReader(SETTINGS, pseudonyms(SETTINGS))
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


def _full(piece: str) -> str:
    return ",".join([piece] * ((2 << 20) // (len(piece) + 1)))


def _event(array: str) -> str:
    return f'{{"user_id":"u","event_type":"x","properties":{{"a":[{array}]}}}}'


# Each of these took 5 to 53 times its size.
DEAR = {
    "an unknown field": f'{{"events":[],"x":[{_full("1")}]}}',
    "too many": f'{{"events":[{_full("1")}]}}',
    "too many, and then none": f'{{"events":[{_full("1")}],"events":[]}}',
    "too many good ones": f'{{"events":[{_full(_event(""))}]}}',
    "too large": f'{{"events":[{_event(_full("[]"))}]}}',
    "hidden properties": f'{{"events":[{{"user_id":"u","properties":[{_full("[]")}],"properties":{{}}}}]}}',
}


@pytest.mark.parametrize("body", DEAR.values(), ids=DEAR)
@pytest.mark.parametrize("kind", ["events", "lines", "assignments"])
def test_no_batch_takes_many_times_its_size_in_memory(kind, body):
    readers = {
        "events": READER.batch,
        "lines": READER.lines,
        "assignments": AssignmentReader(SETTINGS, pseudonyms(SETTINGS)).batch,
    }
    sent = body.removeprefix('{"events":[') if kind == "lines" else body.replace("events", kind)
    given = sent.encode()
    with suppress(ApiError):
        readers[kind](b"{}" + b" " * TOGETHER, None)  # the decoder is made once
    tracemalloc.start()
    try:
        with suppress(ApiError):
            readers[kind](given, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4.5 * len(given)


def test_of_a_long_text_the_decoders_own_word_is_told():
    twice = '"event_type":"x","event_type":"x","page":1'
    for user, code in (("u", "malformed_json"), ("u" * 100_000, "invalid_input")):
        decoded = READER.lines(f'{{"user_id":"{user}",{twice}}}'.encode(), None)
        assert [one.code for one in decoded.rejected] == [code]
    with pytest.raises(InvalidInput, match="unknown field `x`"):
        READER.batch(f'{{"events":[],"x":"{"u" * 100_000}","x":1}}'.encode(), None)
    with pytest.raises(MalformedJson, match="byte 100013"):
        READER.batch(f'{{"events":[1,{" " * 100_000}}}'.encode(), None)


@pytest.mark.parametrize("as_lines", [True, False])
def test_of_a_large_batch_each_bad_event_is_listed_at_its_place_and_each_good_one_kept(as_lines):
    bad = {3: '{"user_id":""}', 17: '{"user_id":"u","user_id":"u","event_type":"x"}', 39: "[]"}
    events = [
        bad.get(n) or f'{{"user_id":"u{n}","event_type":"x","properties":{{"a":"{"b" * 30_000}"}}}}' for n in range(40)
    ]
    body = ("\n".join(events) if as_lines else f'{{"events":[{",".join(events)}]}}').encode()
    assert len(body) > 4 * TOGETHER
    decoded = (READER.lines if as_lines else READER.batch)(body, None)
    assert [one.index for one in decoded.rejected] == list(bad)
    assert [f"u{position}" for position in decoded.positions] == [row.user_id for row in decoded.rows]
    assert len(decoded.rows) == 37


def test_a_large_batch_is_decoded_while_others_are_answered():
    answered = threading.Event()

    async def both() -> bool:
        decoding = asyncio.create_task(decoded(lambda *_: answered.wait(30), bytes(TOGETHER + 1), None))
        await asyncio.sleep(0)
        answered.set()
        return await decoding

    assert asyncio.run(both())


@pytest.mark.parametrize("bad", [[], ["{"]])
def test_blank_lines_are_not_counted_however_many_stand_where(bad):
    reader = EventReader(SETTINGS.model_copy(update={"max_batch": 3}), pseudonyms(SETTINGS))
    good = '{"user_id": "u", "event_type": "x"}'
    three = [good, *bad, good, good][:3]
    for blank in ("", " \t\r", "\n\n\n\n"):
        decoded = reader.lines(blank.join(("\n", *(f"  {line}\r\n" for line in three), "\n")).encode(), None)
        assert (len(decoded.rows), len(decoded.rejected)) == (3 - len(bad), len(bad))
        with pytest.raises(InvalidInput, match="the batch has more than 3 events"):
            reader.lines(f"\n{blank}\n".join([*three, good]).encode(), None)
