"""`python -m neonblue_pipeline.materialize JOB`: runs a job in this process, recorded in Dagster like any other run."""

import argparse
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from neonblue_pipeline.errors import JobFailed, PipelineError, SettingsMissing
from neonblue_pipeline.settings import read_settings

if TYPE_CHECKING:
    from dagster import DagsterInstance, EventLogEntry


def run_job(name: str) -> str:
    """Runs the job to its end, printing a line per step, and returns its run id.

    Raises JobFailed with the step that failed and what it said, SettingsMissing without DAGSTER_HOME.
    """
    if not os.environ.get("DAGSTER_HOME"):
        raise SettingsMissing("DAGSTER_HOME is not set: the folder with dagster.yaml, in which Dagster records the run")
    import dagster as dg
    from dagster._core.utils import make_new_run_id

    from neonblue_pipeline import command_runs
    from neonblue_pipeline.definitions import defs

    settings, run_id = read_settings(), make_new_run_id()
    with dg.DagsterInstance.get() as instance, command_runs.at_work(settings, run_id):
        for abandoned in command_runs.end_abandoned(instance, settings):
            print(f"  run {abandoned} had lost its process; it is recorded as failed", flush=True)
        job = defs.resolve_job_def(name)
        progress = _Progress()
        _listen(instance, run_id, progress)
        # Dagster's own console lines would repeat ours; its event log keeps everything.
        logging.getLogger("dagster").handlers.clear()
        quiet: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            run_config={**(job.run_config or {}), **quiet},
            raise_on_error=False,
            tags={command_runs.TAG: name},
        )
    if not result.success:
        raise JobFailed(f"job '{name}' failed (Dagster run {run_id}): {progress.failure or 'see the run in Dagster'}")
    return run_id


# Dagster's own errors, around what the step raised.
_WRAPPERS = ("DagsterExecutionStepExecutionError", "RetryRequestedFromPolicy")


class _Progress:
    """Prints what a step materialised and how long it took; keeps the first failure."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self._started: dict[str, float] = {}

    def __call__(self, entry: "EventLogEntry") -> None:
        event = entry.dagster_event
        if event is None or event.step_key is None:
            return
        step = event.step_key
        if event.is_step_start:
            self._started[step] = time.monotonic()
        elif event.is_step_success:
            print(f"  {step}: done in {time.monotonic() - self._started.get(step, time.monotonic()):.1f} s", flush=True)
        elif event.is_step_failure:
            error = event.step_failure_data.error
            while error and error.cause and error.cls_name in _WRAPPERS:
                error = error.cause
            self.failure = self.failure or f"step {step}: {(error.message if error else 'no message').strip()}"


def _listen(instance: "DagsterInstance", run_id: str, listener: _Progress) -> None:
    instance.add_event_listener(run_id, listener)


def main(arguments: list[str] | None = None) -> int:
    from neonblue_pipeline import jobs

    parser = argparse.ArgumentParser(prog="python -m neonblue_pipeline.materialize", description=__doc__)
    parser.add_argument("job", choices=[job.name for job in jobs.ALL])
    name = parser.parse_args(arguments).job
    started = time.monotonic()
    print(f"job {name}", flush=True)
    try:
        run_id = run_job(name)
    except PipelineError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    print(f"job {name}: done in {time.monotonic() - started:.1f} s, Dagster run {run_id}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
