"""How events are kept once nothing is written beside them any more."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.integration.pipeline.conftest import Pipeline, eventually

_INSERT = """
    insert into {table} (id, user_id, event_type, timestamp, properties, request_id, created_at, page, value, outbox_id)
    select generateUUIDv4(), 'u' || toString(number), 'click', now64(6), '{{"page": "/cart", "value": 3.25}}',
           'request-1', now64(6) - interval {days_old} day, '/cart', 3.25, number
    from numbers(100)"""


@pytest.fixture
def table(pipeline: Pipeline) -> Iterator[str]:
    """An empty table like events_rows, whose parts the engine may write anew at any time, not every four hours."""
    name = f"at_rest_{uuid4().hex}"
    pipeline.server.command(f"create table {name} as events_rows")
    pipeline.server.command(f"alter table {name} modify setting merge_with_recompression_ttl_timeout = 0")
    yield name
    pipeline.server.command(f"drop table {name} sync")


def codecs(pipeline: Pipeline, table: str) -> list[str]:
    found = pipeline.clickhouse(
        "select distinct default_compression_codec from system.parts where table = {table:String} and active",
        table=table,
    )
    return sorted(codec for (codec,) in found)


def test_the_engine_itself_writes_events_smaller_a_day_after_they_were_accepted(pipeline: Pipeline, table: str) -> None:
    pipeline.server.command(_INSERT.format(table=table, days_old=2))
    everything = f"select * from {table} order by id"
    before = pipeline.clickhouse(everything)

    @eventually
    def written_anew() -> None:
        assert codecs(pipeline, table) == ["ZSTD(14)"]

    written_anew()
    assert len(before) == 100
    assert pipeline.clickhouse(everything) == before


def test_merges_of_the_first_day_take_little_work(pipeline: Pipeline, table: str) -> None:
    for _ in range(2):
        pipeline.server.command(_INSERT.format(table=table, days_old=0))
    pipeline.server.command(f"optimize table {table} final")
    assert codecs(pipeline, table) == ["ZSTD(3)"]
