"""Experiments and their life: draft, running, stopped, archived."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import experiments, lifecycle
from neonblue_api.access import ReadDep
from neonblue_api.bodies import StrictRoute
from neonblue_api.changes import CreatorDep, EditorDep
from neonblue_api.errors import (
    DatabaseUnavailable,
    ExperimentKept,
    ExperimentNotFound,
    ExperimentRunning,
    InvalidCursor,
    InvalidInput,
    InvalidTransition,
    KeyTaken,
    MalformedJson,
    NotReadyToStart,
    PreconditionFailed,
    UnknownMetric,
    WeightsSum,
)
from neonblue_api.listing import CursorDep, LimitDep, etag, one_page, read_cursor
from neonblue_api.models.experiments import Experiment, ExperimentChange, ExperimentIn, Start, Status
from neonblue_api.models.fields import Key, Page
from neonblue_api.replies import responses
from neonblue_api.state import DatabaseDep

router = APIRouter(prefix="/v1/experiments", tags=["experiments"], route_class=StrictRoute)
_COMMON = (InvalidInput, DatabaseUnavailable)
_ONE = (*_COMMON, ExperimentNotFound)
_EDIT = (*_ONE, MalformedJson, PreconditionFailed)


@router.post("", status_code=201, responses=responses(*_COMMON, MalformedJson, KeyTaken, WeightsSum, UnknownMetric))
async def create_experiment(new: ExperimentIn, creator: CreatorDep) -> Experiment:
    """Create a draft. Without weights the variants share users evenly."""

    async def make(connection: AsyncConnection) -> Experiment:
        return await experiments.create(connection, new)

    return await creator.create("experiment", make)


@router.get("", responses=responses(*_COMMON, InvalidCursor))
async def list_experiments(
    _: ReadDep,
    database: DatabaseDep,
    status: Annotated[Status | None, Query()] = None,
    limit: LimitDep = 100,
    cursor: CursorDep = None,
) -> Page[Experiment]:
    """Experiments in the order in which they were made."""
    place = read_cursor(cursor, int)

    async def work(connection: AsyncConnection) -> list[tuple[int, Experiment]]:
        return await experiments.page(connection, after=place[0] if place else None, status=status, limit=limit + 1)

    found = await database.transact(work)
    items, following = one_page(found, limit, lambda last: (last[0],))
    return Page(items=[experiment for _, experiment in items], next_cursor=following)


@router.get("/{key}", responses=responses(*_ONE))
async def get_experiment(key: Key, _: ReadDep, database: DatabaseDep, reply: Response) -> Experiment:
    """One experiment; its ETag goes into If-Match of a change."""

    async def work(connection: AsyncConnection) -> Experiment:
        return (await experiments.get(connection, key))[1]

    experiment = await database.transact(work)
    reply.headers["ETag"] = etag(experiment.revision)
    return experiment


@router.patch("/{key}", responses=responses(*_EDIT, ExperimentRunning, WeightsSum, UnknownMetric))
async def change_experiment(key: Key, wanted: ExperimentChange, editor: EditorDep) -> Experiment:
    """Change what the body names. Once the experiment has begun, only name and description."""

    async def edit(connection: AsyncConnection, experiment_id: int, current: Experiment) -> Experiment:
        return await experiments.change(connection, experiment_id, current, wanted)

    return await editor.edit("experiment", key, experiments.get_locked, edit)


@router.delete("/{key}", status_code=204, responses=responses(*_ONE, ExperimentKept, PreconditionFailed))
async def delete_experiment(key: Key, editor: EditorDep) -> None:
    """Delete a draft. One that has begun has data; archive it instead."""
    await editor.delete("experiment", key, experiments.get_locked, experiments.delete)


@router.post("/{key}/start", responses=responses(*_EDIT, InvalidTransition, NotReadyToStart))
async def start_experiment(key: Key, editor: EditorDep, body: Annotated[Start | None, Body()] = None) -> Experiment:
    """From draft to running: users are assigned and their events count from started_at on."""
    started_at = body.started_at if body else None

    async def edit(connection: AsyncConnection, experiment_id: int, current: Experiment) -> Experiment:
        return await lifecycle.start(connection, experiment_id, current, started_at)

    return await editor.edit("experiment", key, experiments.get_locked, edit, "start")


@router.post("/{key}/stop", responses=responses(*_EDIT, InvalidTransition))
async def stop_experiment(key: Key, editor: EditorDep) -> Experiment:
    """From running to stopped: nobody new is assigned, later events do not count."""
    return await editor.edit("experiment", key, experiments.get_locked, lifecycle.stop, "stop")


@router.post("/{key}/archive", responses=responses(*_EDIT, InvalidTransition))
async def archive_experiment(key: Key, editor: EditorDep) -> Experiment:
    """From stopped to archived: its results stay readable, nothing of it changes any more."""
    return await editor.edit("experiment", key, experiments.get_locked, lifecycle.archive, "archive")
