"""Recovery and replay: what must stand in ClickHouse, and how a span is told."""

from datetime import UTC, datetime

import pytest

from neonblue_pipeline.errors import ReplayError
from neonblue_pipeline.recovery import altering_files, expected_objects
from neonblue_pipeline.replay import moment, replay
from neonblue_pipeline.settings import Settings
from neonblue_pipeline.sqlfiles import sql_files

SETTINGS = Settings(
    postgres_url="postgresql://u:p@localhost:1/experiments",
    clickhouse_url="http://u:p@localhost:1",
    kafka_bootstrap="localhost:1",
    connect_url="http://localhost:1",
)


def test_every_table_and_view_of_the_stream_is_missed_when_it_is_gone() -> None:
    files = expected_objects(sql_files("clickhouse"))
    assert files["raw_events_kafka"] == "clickhouse/110_raw_events_kafka.sql"
    assert files["landing_rows"] == "clickhouse/120_landing.sql"
    assert files["events_rows"] == "clickhouse/130_events.sql"
    assert files["events_rows_from_incoming"] == files["events_processed"] == "clickhouse/131_events_views.sql"
    assert files["landing_from_kafka"] == "clickhouse/190_landing_from_kafka.sql"
    assert {"assignments_mv", "dead_letters", "dirty_days", "user_rollup", "experiment_results"} <= files.keys()


def test_a_table_that_is_made_again_gets_what_later_files_change() -> None:
    files = sql_files("clickhouse")
    assert altering_files(files, ["events_rows"]) == [
        "clickhouse/132_events_codecs.sql",
        "clickhouse/133_events_at_rest.sql",
        "clickhouse/134_events_by_day.sql",
        "clickhouse/175_merges.sql",
        "clickhouse/176_small_parts.sql",
    ]
    assert altering_files(files, ["user_rollup"]) == ["clickhouse/210_metric_rules.sql"]
    assert altering_files(files, ["applied_files"]) == []


def test_a_time_without_a_zone_is_utc() -> None:
    assert moment("2026-01-31T10:00") == moment("2026-01-31T11:00+01:00") == datetime(2026, 1, 31, 10, tzinfo=UTC)


def test_what_is_no_time_is_said_with_the_way_to_write_one() -> None:
    with pytest.raises(ReplayError, match="'yesterday' is no time; write it as 2026"):
        moment("yesterday")


def test_an_empty_span_an_unknown_source_and_an_unknown_type_are_refused() -> None:
    start, until = moment("2026-01-31T10:00"), moment("2026-01-31T11:00")
    with pytest.raises(ReplayError, match="is empty"):
        replay(SETTINGS, until, start)
    with pytest.raises(ReplayError, match="sources are"):
        replay(SETTINGS, start, until, "backup")
    with pytest.raises(ReplayError, match="types are"):
        replay(SETTINGS, start, until, "outbox", ("metric",))
