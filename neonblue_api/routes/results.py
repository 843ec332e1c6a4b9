"""The published result of an experiment and its live summary."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import experiments, results, segments
from neonblue_api.access import ReadDep
from neonblue_api.errors import AnalyticsUnavailable, DatabaseUnavailable, ExperimentNotFound, InvalidInput
from neonblue_api.models.experiments import Experiment
from neonblue_api.models.fields import Key
from neonblue_api.models.results import Results, Summary
from neonblue_api.models.segments import History, HistoryStep, SegmentedResults
from neonblue_api.replies import responses
from neonblue_api.state import AnalyticsDep, DatabaseDep

router = APIRouter(prefix="/v1/experiments/{key}", tags=["results"])
_ERRORS = responses(InvalidInput, ExperimentNotFound, DatabaseUnavailable, AnalyticsUnavailable)
# Metrics are never deleted, and keep their kind: those of an experiment may be others by now.
_KINDS = text("select key, kind from metrics where key = any(:keys)")


@router.get("/results", responses=_ERRORS)
async def get_results(key: Key, _: ReadDep, database: DatabaseDep, analytics: AnalyticsDep) -> Results:
    """Users, means and effects of every metric at the latest cut-off.

    What was never measured is null, and a warning says so.
    """

    async def work(connection: AsyncConnection) -> tuple[int, Experiment, dict[str, str]]:
        experiment_id, experiment = await experiments.get(connection, key)
        found = await connection.execute(_KINDS, {"keys": [metric.key for metric in experiment.metrics]})
        kinds = {row.key: row.kind for row in found}
        return experiment_id, experiment, kinds

    experiment_id, experiment, kinds = await database.transact(work)
    rows = await analytics.read("experiment_results", experiment_id=experiment_id)
    quality = await analytics.read("experiment_quality", experiment_id=experiment_id)
    return results.assemble(experiment, kinds, rows, quality[0] if quality else None)


@router.get("/results/segments", responses=_ERRORS)
async def get_segments(
    key: Key,
    _: ReadDep,
    database: DatabaseDep,
    analytics: AnalyticsDep,
    dimension: Annotated[str, Query(max_length=256, description="Only this one: device, browser, country, ...")] = "",
) -> SegmentedResults:
    """The effects by device, browser and assignment attributes, corrected, and whether they differ."""
    experiment_id, experiment = await experiments.find(database, key)
    rows = await analytics.read("experiment_segments", experiment_id=experiment_id, dimension=dimension)
    overall = await analytics.read("experiment_dimensions", experiment_id=experiment_id, dimension=dimension)
    return segments.assemble(experiment.key, dimension, rows, overall)


@router.get("/results/history", responses=_ERRORS)
async def get_history(
    key: Key,
    _: ReadDep,
    database: DatabaseDep,
    analytics: AnalyticsDep,
    metric: Annotated[str, Query(max_length=128, description="Only this metric.")] = "",
    step: Annotated[HistoryStep, Query(description="The last cut-off of each hour or day, or every one.")] = "hour",
    limit: Annotated[int, Query(ge=1, le=1000, description="Cut-offs, the latest ones.")] = 200,
) -> History:
    """What was published at each cut-off, so that the lift over time can be drawn."""
    experiment_id, experiment = await experiments.find(database, key)
    rows = await analytics.read(
        "experiment_history", experiment_id=experiment_id, metric=metric, step=step, limit=limit + 1
    )
    cutoffs = sorted({row["cutoff_at"] for row in rows})
    first = cutoffs[-limit] if len(cutoffs) > limit else None
    points = [segments.point(row) for row in rows if first is None or row["cutoff_at"] >= first]
    return History(experiment=experiment.key, step=step, points=points, truncated=first is not None)


@router.get("/summary", responses=_ERRORS)
async def get_summary(key: Key, _: ReadDep, database: DatabaseDep, analytics: AnalyticsDep) -> Summary:
    """Live performance of each variant: a minute behind, where results are as of the last computation."""

    experiment_id, experiment = await experiments.find(database, key)
    rows = await analytics.read("experiment_summary", experiment_id=experiment_id)
    return results.summarise(experiment, rows)
