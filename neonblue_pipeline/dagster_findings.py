"""What Dagster itself knows to be broken: asset checks whose last evaluation failed, jobs whose last run failed.

The last evaluation and the last finished run are what counts, so that a finding heals with the next good one. A failed
check leaves its run a success: only its own record tells.
"""

import time

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from neonblue_pipeline import jobs
from neonblue_pipeline.probes import PROBES, Finding

# Those that run by themselves; who starts another sees how it ends.
_SCHEDULED = (jobs.live, jobs.hourly, jobs.daily, jobs.health)
# Asked for again every few minutes while there is something to repair: later the failure of one tells nothing.
_ASKED_FOR = (jobs.repair, jobs.recover)
_ASKED_AGAIN_S = 600
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


def look(context: dg.SensorEvaluationContext) -> dict[str, list[Finding]]:
    """Findings by who found them: `checks` and `jobs`."""
    return {"checks": _failed_checks(context), "jobs": _failed_jobs(context.instance)}


def _failed_checks(context: dg.SensorEvaluationContext) -> list[Finding]:
    assert context.repository_def is not None
    # A probe's own check is told by the probe, which looks more often.
    probed = {probe.check for probe in PROBES}
    keys = [key for key in context.repository_def.asset_graph.asset_check_keys if key.name not in probed]
    records = context.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    found = []
    for key, record in records.items():
        if record.status != AssetCheckExecutionRecordStatus.FAILED or record.event is None:
            continue
        event = record.event.dagster_event
        assert event is not None
        evaluation = event.asset_check_evaluation_data
        found.append(
            Finding(
                f"check {key.to_user_string()}",
                f"asset check {key.name} of {key.asset_key.to_user_string()} failed",
                evaluation.description or "it gave no description",
                f"its run {record.run_id} in Dagster has the details",
                serious=evaluation.severity == dg.AssetCheckSeverity.ERROR,
            )
        )
    return found


def _failed_jobs(instance: dg.DagsterInstance) -> list[Finding]:
    found = []
    for job in (*_SCHEDULED, *_ASKED_FOR):
        filters = dg.RunsFilter(job_name=job.name, statuses=_FINISHED)
        for record in instance.get_run_records(filters, limit=1):
            over = job in _ASKED_FOR and time.time() - (record.end_time or 0) > _ASKED_AGAIN_S
            if record.dagster_run.status == dg.DagsterRunStatus.FAILURE and not over:
                found.append(
                    Finding(
                        f"job {job.name}",
                        f"the last run of job {job.name} failed",
                        f"run {record.dagster_run.run_id}",
                        "Dagster shows the step that failed and what it said; the next good run heals this",
                    )
                )
    return found
