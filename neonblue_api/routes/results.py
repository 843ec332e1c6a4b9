"""The published result of an experiment and its live summary."""

from fastapi import APIRouter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import experiments, results
from neonblue_api.access import ReadDep
from neonblue_api.errors import AnalyticsUnavailable, DatabaseUnavailable, ExperimentNotFound, InvalidInput
from neonblue_api.models.experiments import Experiment
from neonblue_api.models.fields import Key
from neonblue_api.models.results import Results, Summary
from neonblue_api.replies import responses
from neonblue_api.state import AnalyticsDep, DatabaseDep

router = APIRouter(prefix="/v1/experiments/{key}", tags=["results"])
_ERRORS = responses(InvalidInput, ExperimentNotFound, DatabaseUnavailable, AnalyticsUnavailable)
_KINDS = text("select m.key, m.kind from experiment_metrics join metrics m using (metric_id) where experiment_id = :id")


@router.get("/results", responses=_ERRORS)
async def get_results(key: Key, _: ReadDep, database: DatabaseDep, analytics: AnalyticsDep) -> Results:
    """Users, means and effects of every metric at the latest cut-off.

    What was never measured is null, and a warning says so.
    """

    async def work(connection: AsyncConnection) -> tuple[int, Experiment, dict[str, str]]:
        experiment_id, experiment = await experiments.get(connection, key)
        found = await connection.execute(_KINDS, {"id": experiment_id})
        kinds = {row.key: row.kind for row in found}
        return experiment_id, experiment, kinds

    experiment_id, experiment, kinds = await database.transact(work)
    rows = await analytics.read("experiment_results", experiment_id=experiment_id)
    quality = await analytics.read("experiment_quality", experiment_id=experiment_id)
    return results.assemble(experiment, kinds, rows, quality[0] if quality else None)


@router.get("/summary", responses=_ERRORS)
async def get_summary(key: Key, _: ReadDep, database: DatabaseDep, analytics: AnalyticsDep) -> Summary:
    """Live performance of each variant: a minute behind, where results are as of the last computation."""

    async def work(connection: AsyncConnection) -> tuple[int, Experiment]:
        return await experiments.get(connection, key)

    experiment_id, experiment = await database.transact(work)
    rows = await analytics.read("experiment_summary", experiment_id=experiment_id)
    return results.summarise(experiment, rows)
