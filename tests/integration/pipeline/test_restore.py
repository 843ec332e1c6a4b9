"""Rows of a backup in ClickHouse again: each number as it was, to its last bit."""

import math
import random
import struct

from neonblue_pipeline.restore import insert_exactly
from tests.integration.pipeline.conftest import Pipeline


def test_a_number_comes_out_of_a_backup_as_it_went_in(pipeline: Pipeline) -> None:
    drawn = random.Random(1)
    numbers = [drawn.gauss(0, 3) * 10 ** drawn.randrange(-12, 12) for _ in range(3000)] + [
        math.inf,
        math.nan,
        5e-324,
        -0.0,
    ]
    clickhouse = pipeline.server
    clickhouse.command(
        "create table went_in (at UInt32, x Float64, maybe Nullable(Float64), name String) "
        "engine = MergeTree order by at"
    )
    clickhouse.command("create table came_out as went_in")
    try:
        rows = [(at, x, None if at % 3 else x, "tab\t, line\n") for at, x in enumerate(numbers)]
        clickhouse.insert("went_in", ["at", "x", "maybe", "name"], rows)
        pieces = list(clickhouse.stream("select at, x, maybe, name from went_in order by at", "TabSeparated", 1 << 30))
        lines = b"".join(pieces).splitlines(keepends=True)
        insert_exactly(
            clickhouse, "came_out", ["at", "x", "maybe", "name"], (b"".join(lines[:2000]), b"".join(lines[2000:]))
        )
        found = pipeline.clickhouse("select at, x, maybe, name from came_out order by at")
        assert [bits(row[1]) for row in found] == [bits(x) for x in numbers]
        assert [(row[0], row[2] is None, row[3]) for row in found] == [(row[0], row[2] is None, row[3]) for row in rows]
        assert [bits(row[2]) for row in found if row[2] is not None] == [bits(x) for x in numbers[::3]]
    finally:
        for table in ("went_in", "came_out"):
            clickhouse.command(f"drop table {table} sync")


def bits(number: float) -> bytes:
    return b"nan" if math.isnan(number) else struct.pack("<d", number)
