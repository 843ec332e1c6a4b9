"""Old months of raw events and closed dead letters: dropped when proven, while what was counted from them stays."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from neonblue_pipeline import dead_letters, holdings, replay, retention, verify
from neonblue_pipeline.settings import Settings
from tests.integration.pipeline.conftest import Pipeline
from tests.integration.pipeline.fix_past import Past

TODAY = datetime.now(UTC).date()
pytestmark = [pytest.mark.timeout(600), pytest.mark.nightly]


def months_ago(number: int) -> date:
    year, month = divmod(TODAY.year * 12 + TODAY.month - 1 - number, 12)
    return date(year, month + 1, 10)


class Old:
    """An experiment whose events were accepted on one day, five months ago."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.day = months_ago(5)
        self.settings: Settings = pipeline.settings.model_copy(
            update={"outbox_keep_days": 14, "events_keep_days": 30, "landing_keep_days": 0, "raw_events_keep_months": 2}
        )
        self.user = f"old-{uuid4()}"
        # Where nothing was accepted today there is no outbox of today, which tells that the one of then is gone.
        pipeline.postgres("select ensure_day_partitions((now() at time zone 'UTC')::date, 1)")
        past = Past(pipeline.settings.postgres_url, self.day)
        self.key = past.experiment()
        past.assignment(self.key, self.user)
        self.events = past.events(self.user, 30)
        past.close()
        pipeline.await_events([event["id"] for event in self.events])
        pipeline.await_everything()
        pipeline.build()

    def journeys(self) -> list[tuple[Any, ...]]:
        return self.pipeline.clickhouse("select events from user_journeys where user_id = {u:String}", u=self.user)

    def raw(self) -> int:
        query = "select count() from events_processed where user_id = {u:String}"
        return int(self.pipeline.clickhouse(query, u=self.user)[0][0])


@pytest.fixture(scope="module")
def old(pipeline: Pipeline) -> Iterator[Old]:
    made = Old(pipeline)
    yield made
    pipeline.postgres("drop schema earlier cascade")


def test_a_month_that_the_ledger_does_not_prove_stays_and_is_told(old: Old) -> None:
    name = f"events_p{old.day:%Y%m%d}"
    with psycopg.connect(old.settings.postgres_url, autocommit=True) as postgres:
        done = retention.drop_old_days(old.settings.model_copy(update={"raw_events_keep_months": 0}))
        assert name in done.dropped
        postgres.execute(
            """update reconciliation_windows set proven_at = null
               where window_start::date = %s and aggregate_type = 'event'""",
            (old.day,),
        )
        done = retention.drop_old_days(old.settings)
        told = [str(held) for held in done.held]
        assert any("the ledger does not prove all of its 30 events" in line for line in told), told
        assert old.raw() == 30
        postgres.execute(
            "update reconciliation_windows set proven_at = now() where window_start::date = %s", (old.day,)
        )


def test_a_proven_month_is_dropped_and_what_was_counted_from_it_stays_whatever_comes_later(old: Old) -> None:
    counted = old.journeys()
    assert [events for (events,) in counted] == [30]
    done = retention.drop_old_days(old.settings)
    assert f"raw events {old.day:%Y%m}" in done.dropped
    assert old.raw() == 0
    # An event that comes late for the same day, and a definition that changes: neither has the day built again.
    ids = old.pipeline.send([{"user_id": old.user, "event_type": "click", "timestamp": "2026-01-02T11:00:00.000000Z"}])
    old.pipeline.await_events(ids)
    old.pipeline.postgres("select publish_experiment(experiment_id) from experiments where key = %s", (old.key,))
    old.pipeline.await_everything()
    old.pipeline.build()
    assert old.journeys() == counted
    report = verify.verify(old.settings)
    assert [gap for check in report.checks for gap in check.gaps if check.hop in ("events_processed", "rollups")] == []
    assert replay.heal(old.settings, patience_s=60).left == []
    assert retention.drop_old_days(old.settings).dropped == []


def test_closed_dead_letters_are_dropped_by_their_age_and_open_ones_stay(pipeline: Pipeline) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=400)
    server = pipeline.server
    columns = ["topic", "partition", "offset", "kafka_timestamp", "reason", "raw", "received_at"]
    for offset in (1, 2):
        server.insert("dead_letters_rows", columns, [["elsewhere", 0, offset, long_ago, "of a test", "raw", long_ago]])
    server.insert("dead_letters_replayed", [*columns[:4], "replayed_at"], [["elsewhere", 0, 1, long_ago, long_ago]])
    retention.drop_old_days(pipeline.settings)
    left = pipeline.clickhouse("select offset from dead_letters where topic = 'elsewhere'")
    assert left == [(2,)]
    dead_letters.discard(pipeline.settings)


def test_status_knows_what_each_store_holds_and_since_when(pipeline: Pipeline, old: Old) -> None:
    user = f"held-{uuid4()}"
    pipeline.await_events(pipeline.send([{"user_id": user, "event_type": "click"}]))
    found = {store.store: store for store in holdings.held(old.settings)}
    assert set(found) >= {
        "outbox_log", "events", "assignments", "topic experiments_events", "landing", "events_processed",
        "assignments_mv", "dead_letters", "rollups", "results",
    }  # fmt: skip
    assert found["events_processed"].keeps == "2 months"
    accepted = pipeline.postgres("select count(*) from events")[0][0]
    assert (found["events"].rows, found["events"].counted) == (accepted, True)
    for name in ("events", "topic experiments_events", "landing", "events_processed"):
        store = found[name]
        assert store.bytes is not None
        assert store.bytes > 0
        assert store.since is not None
        assert store.since < datetime.now(UTC)
