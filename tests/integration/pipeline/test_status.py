"""What `neonblue status` says of stages and stores, where counting takes too long or a lock is held."""

from uuid import uuid4

import psycopg
import pytest

from neonblue_local import status
from neonblue_pipeline import holdings, kept
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


def test_a_store_that_cannot_be_counted_in_time_is_estimated_and_no_lock_keeps_the_answer_waiting(
    pipeline: Pipeline,
) -> None:
    key, _ = pipeline.create_experiment([("proportion", "click", None)])
    pipeline.assign(key, {f"held-{uuid4()}": "new"})
    pipeline.send([{"user_id": "counted", "event_type": "click"} for _ in range(20)])
    settings = pipeline.settings
    with psycopg.connect(settings.postgres_url, autocommit=True) as postgres:
        postgres.execute("analyze events")
        (count,) = postgres.execute("select count(*) from events").fetchone() or (0,)
        # The parent alone: counting waits, asking for the sizes of the days does not.
        with postgres.transaction():
            postgres.execute("lock table only events in access exclusive mode")
            found = {store.store: store for store in holdings.held(settings)}
        first = kept.days(postgres, "events")[0]
        with postgres.transaction():
            postgres.execute(f"lock table {first.name} in access exclusive mode".encode())
            with pytest.raises(psycopg.errors.LockNotAvailable):
                holdings.held(settings)
    events, assignments = found["events"], found["assignments"]
    assert (events.rows, events.counted, events.since) == (count, False, first.start)
    assert events.bytes
    assert assignments.counted
    assert assignments.bytes
