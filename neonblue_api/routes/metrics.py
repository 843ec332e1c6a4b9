"""Metrics: definitions of what is measured."""

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import metrics
from neonblue_api.access import ReadDep
from neonblue_api.bodies import StrictRoute
from neonblue_api.changes import CreatorDep, EditorDep
from neonblue_api.errors import (
    DatabaseUnavailable,
    InvalidCursor,
    InvalidInput,
    KeyTaken,
    MalformedJson,
    MetricInUse,
    MetricNotFound,
    PreconditionFailed,
)
from neonblue_api.listing import CursorDep, LimitDep, etag, one_page, read_cursor
from neonblue_api.models.fields import Key, Page
from neonblue_api.models.metrics import Metric, MetricChange, MetricIn
from neonblue_api.replies import responses
from neonblue_api.state import DatabaseDep

router = APIRouter(prefix="/v1/metrics", tags=["metrics"], route_class=StrictRoute)
_COMMON = (InvalidInput, DatabaseUnavailable)


@router.post("", status_code=201, responses=responses(*_COMMON, MalformedJson, KeyTaken))
async def create_metric(new: MetricIn, creator: CreatorDep) -> Metric:
    """Define a metric."""

    async def make(connection: AsyncConnection) -> Metric:
        return await metrics.create(connection, new)

    return await creator.create("metric", make)


@router.get("", responses=responses(*_COMMON, InvalidCursor))
async def list_metrics(
    _: ReadDep, database: DatabaseDep, limit: LimitDep = 100, cursor: CursorDep = None
) -> Page[Metric]:
    """Metrics in the order in which they were made."""
    place = read_cursor(cursor, int)

    async def work(connection: AsyncConnection) -> list[tuple[int, Metric]]:
        return await metrics.page(connection, after=place[0] if place else None, limit=limit + 1)

    found = await database.transact(work)
    items, following = one_page(found, limit, lambda last: (last[0],))
    return Page(items=[metric for _, metric in items], next_cursor=following)


@router.get("/{key}", responses=responses(*_COMMON, MetricNotFound))
async def get_metric(key: Key, _: ReadDep, database: DatabaseDep, reply: Response) -> Metric:
    """One metric; its ETag goes into If-Match of a change."""

    async def work(connection: AsyncConnection) -> Metric:
        return (await metrics.get(connection, key))[1]

    metric = await database.transact(work)
    reply.headers["ETag"] = etag(metric.revision)
    return metric


@router.patch("/{key}", responses=responses(*_COMMON, MalformedJson, MetricNotFound, MetricInUse, PreconditionFailed))
async def change_metric(key: Key, wanted: MetricChange, editor: EditorDep) -> Metric:
    """Change what the body names. What it measures stays once an experiment that uses it has begun."""

    async def edit(connection: AsyncConnection, metric_id: int, current: Metric) -> Metric:
        return await metrics.change(connection, metric_id, current, wanted)

    return await editor.edit("metric", key, metrics.get_locked, edit)
