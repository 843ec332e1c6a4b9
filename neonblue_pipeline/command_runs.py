"""Runs of jobs that a command started in its own process: Dagster watches only those that its daemon launched.

Where such a process is killed, Dagster would take the run for one at work for an hour (run_monitoring in dagster.yaml).
Its place in the pool stays taken, and the next build of rollups, or the next setup, waits as long.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from neonblue_pipeline import locks
from neonblue_pipeline.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

TAG = "neonblue/command"


@contextmanager
def at_work(settings: Settings, run_id: str) -> Iterator[None]:
    """For the length of the block others see that a process works on the run; PostgreSQL tells them when it dies."""
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        locks.take(connection, _lock_of(run_id))
        yield


def end_abandoned(instance: "DagsterInstance", settings: Settings) -> list[str]:
    """Has runs whose process is gone recorded as failed and their places in pools freed; returns their ids."""
    from dagster import DagsterRunStatus, RunsFilter

    begun = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]))
    ended = []
    # One that is executed again by hand keeps the tag; a launcher began it, and Dagster watches it.
    for run in (run for run in begun if TAG in run.tags and run.remote_job_origin is None):
        with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
            if not locks.try_take(connection, _lock_of(run.run_id)):
                continue
        # It may have come to its end since it was read.
        record = instance.get_run_by_id(run.run_id)
        if record is not None and not record.is_finished:
            instance.report_run_failed(record, message="the process that worked on this run is gone")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            ended.append(run.run_id)
    return ended


def _lock_of(run_id: str) -> str:
    return f"run {run_id}"
