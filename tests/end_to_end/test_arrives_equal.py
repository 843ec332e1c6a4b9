"""What a client sends is in ClickHouse as it was sent: text to the code point, numbers in value, times exactly."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import clickhouse_connect
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

JSON = {"Content-Type": "application/json"}
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=20)
NUMBERS = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-(10**20), 10**20, places=12).map(str),
    st.sampled_from(["9007199254740993", "1e308", "-1E+2", "0.1000000000000000055511151231257827", "1.50", "5e-324"]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), TEXT).map(lambda value: json.dumps(value, ensure_ascii=False)) | NUMBERS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(TEXT, inner, max_size=3).map(
            lambda members: "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in members.items()) + "}"
        ),
    ),
    max_leaves=8,
)
PROPERTIES = st.dictionaries(TEXT, VALUES, max_size=4).map(
    lambda members: "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in members.items()) + "}"
)
# Of few days: the rollups of each day that got an event are built again while other tests wait for theirs.
TIMES = st.tuples(st.sampled_from((-1, -60, -115)), st.integers(-(10**9), 0)).map(
    lambda back: datetime.now(UTC) + timedelta(days=back[0], microseconds=back[1])
)
EVENTS = st.lists(st.tuples(TEXT, TEXT, TIMES, PROPERTIES, st.none() | TEXT), min_size=30, max_size=60)


def _read(text: str):
    """A JSON text with its numbers as exact decimals."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


@pytest.fixture(scope="module")
def analytics(stack):
    client = clickhouse_connect.get_client(
        dsn=stack.clickhouse_url, database="experiments_analytics", tz_mode="aware", autogenerate_session_id=False
    )
    yield client
    client.close()


@pytest.fixture(scope="module")
def api(stack):
    headers = {"Authorization": f"Bearer {stack.api_token}"}
    with httpx.Client(base_url=stack.api_url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


@settings(max_examples=5, deadline=None)
@given(EVENTS)
def test_odd_values_arrive_equal(api, analytics, events):
    sent = {str(uuid4()): event for event in events}
    lines = []
    for event_id, (user, kind, at, properties, session) in sent.items():
        head = {"id": event_id, "user_id": user, "event_type": kind, "timestamp": at.isoformat(), "session_id": session}
        lines.append(json.dumps(head)[:-1] + f', "properties": {properties}}}')
    body = ('{"events": [' + ", ".join(lines) + "]}").encode()
    reply = api.post("/v1/events/batch", content=body, headers=JSON)
    assert reply.json() == {"accepted": len(sent), "duplicates": 0, "rejected": []}

    @retry(retry=retry_if_result(lambda rows: len(rows) < len(sent)), stop=stop_after_delay(60), wait=wait_fixed(0.2))
    def arrived():
        return analytics.query(
            """select toString(id), user_id, event_type, timestamp, properties, session_id from events_processed
               where id in {ids:Array(UUID)}""",
            parameters={"ids": list(sent)},
        ).result_rows

    rows = arrived()
    assert len(rows) == len(sent)
    for event_id, user, kind, at, properties, session in rows:
        expected = sent[event_id]
        assert (user, kind, at, session) == (*expected[:3], expected[4])
        assert _read(properties) == _read(expected[3])
