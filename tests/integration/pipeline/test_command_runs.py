"""Runs of jobs in a command's own process: which of them are over."""

import dagster as dg
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test

from neonblue_pipeline import command_runs
from tests.integration.pipeline.conftest import Pipeline

BY_LAUNCHER = RemoteJobOrigin(
    repository_origin=RemoteRepositoryOrigin(
        code_location_origin=GrpcServerCodeLocationOrigin(host="localhost", port=1), repository_name="any"
    ),
    job_name="live",
)


def test_a_run_is_ended_whose_process_is_gone_and_none_that_is_at_work_or_that_a_launcher_began(
    pipeline: Pipeline,
) -> None:
    started = {"job_name": "live", "status": dg.DagsterRunStatus.STARTED}
    with dg.DagsterInstance.ephemeral() as instance:
        gone, at_work = (create_run_for_test(instance, tags={command_runs.TAG: "live"}, **started) for _ in range(2))
        # Executed again in Dagster's page, a run keeps its tags.
        again = create_run_for_test(instance, tags={command_runs.TAG: "live"}, remote_job_origin=BY_LAUNCHER, **started)
        by_schedule = create_run_for_test(instance, remote_job_origin=BY_LAUNCHER, **started)
        with command_runs.at_work(pipeline.settings, at_work.run_id):
            assert command_runs.end_abandoned(instance, pipeline.settings) == [gone.run_id]
        found = {run.run_id: run.status for run in instance.get_runs()}
        others = dict.fromkeys((run.run_id for run in (at_work, again, by_schedule)), dg.DagsterRunStatus.STARTED)
        assert found == others | {gone.run_id: dg.DagsterRunStatus.FAILURE}
        assert command_runs.end_abandoned(instance, pipeline.settings) == [at_work.run_id]
