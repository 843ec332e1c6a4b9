"""What `neonblue status` says of the stages, where counting takes too long."""

import psycopg

from neonblue_local import status
from tests.fix_stack import Stack
from tests.integration.pipeline.conftest import Pipeline


def test_rows_of_an_outbox_that_cannot_be_counted_in_time_are_estimated_once(
    pipeline: Pipeline, connect_stack: Stack
) -> None:
    pipeline.send([{"user_id": "counted", "event_type": "click"} for _ in range(20)])
    with psycopg.connect(pipeline.settings.postgres_url, autocommit=True) as postgres:
        # The parent is analysed by hand, as after an erasure: it has an estimate of all rows, too.
        postgres.execute("analyze outbox_log")
        (count,) = postgres.execute("select count(*) from outbox_log").fetchone() or (0,)
        (leaf,) = postgres.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'outbox_log'::regclass limit 1"
        ).fetchone() or ("",)
        with postgres.transaction():
            postgres.execute(f"lock table {leaf} in access exclusive mode".encode())
            found = {stage.stage: stage.detail for stage in status.stages(connect_stack.home, connect_stack.settings)}
    assert found["PostgreSQL outbox"] == f"about {count:,} rows"
