"""Experiments and their life: draft, running, stopped, archived."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import changes, experiments
from neonblue_api.access import Caller, ManageDep, ReadDep
from neonblue_api.bodies import StrictRoute
from neonblue_api.errors import (
    DatabaseUnavailable,
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
from neonblue_api.listing import CursorDep, IfMatchDep, LimitDep, check_match, cursor_of, etag, read_cursor
from neonblue_api.models.experiments import Experiment, ExperimentChange, ExperimentIn, Start, Status
from neonblue_api.models.fields import Key, Page
from neonblue_api.replies import responses
from neonblue_api.state import DatabaseDep, RequestIdDep

router = APIRouter(prefix="/v1/experiments", tags=["experiments"], route_class=StrictRoute)
_COMMON = (InvalidInput, DatabaseUnavailable)
_ONE = (*_COMMON, ExperimentNotFound)
_EDIT = (*_ONE, MalformedJson, PreconditionFailed)


@router.post("", status_code=201, responses=responses(*_COMMON, MalformedJson, KeyTaken, WeightsSum, UnknownMetric))
async def create_experiment(
    new: ExperimentIn, caller: ManageDep, database: DatabaseDep, request_id: RequestIdDep, reply: Response
) -> Experiment:
    """Create a draft. Without weights the variants share users evenly."""

    async def work(connection: AsyncConnection) -> Experiment:
        created = await experiments.create(connection, new)
        await changes.record(
            connection,
            by=caller.name,
            request_id=request_id,
            kind="experiment",
            key=new.key,
            action="create",
            after=created.model_dump(mode="json"),
        )
        return created

    created = await database.transact(work)
    reply.headers["ETag"] = etag(created.revision)
    reply.headers["Location"] = f"/v1/experiments/{created.key}"
    return created


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
    return Page(
        items=[experiment for _, experiment in found[:limit]],
        next_cursor=cursor_of(found[limit - 1][0]) if len(found) > limit else None,
    )


@router.get("/{key}", responses=responses(*_ONE))
async def get_experiment(key: Key, _: ReadDep, database: DatabaseDep, reply: Response) -> Experiment:
    """One experiment; its ETag goes into If-Match of a change."""

    async def work(connection: AsyncConnection) -> Experiment:
        return (await experiments.get(connection, key))[1]

    experiment = await database.transact(work)
    reply.headers["ETag"] = etag(experiment.revision)
    return experiment


@router.patch("/{key}", responses=responses(*_EDIT, ExperimentRunning, WeightsSum, UnknownMetric))
async def change_experiment(
    key: Key,
    wanted: ExperimentChange,
    caller: ManageDep,
    database: DatabaseDep,
    request_id: RequestIdDep,
    reply: Response,
    if_match: IfMatchDep = None,
) -> Experiment:
    """Change what the body names. Once the experiment has begun, only name and description."""

    async def edit(connection: AsyncConnection, experiment_id: int, current: Experiment) -> Experiment:
        return await experiments.change(connection, experiment_id, current, wanted)

    return await _edited(database, key, edit, "change", caller, request_id, if_match, reply)


@router.delete("/{key}", status_code=204, responses=responses(*_ONE, ExperimentRunning, PreconditionFailed))
async def delete_experiment(
    key: Key, caller: ManageDep, database: DatabaseDep, request_id: RequestIdDep, if_match: IfMatchDep = None
) -> None:
    """Delete a draft. One that has begun has data; archive it instead."""

    async def work(connection: AsyncConnection) -> None:
        experiment_id, current = await experiments.get_locked(connection, key)
        check_match(if_match, current.revision, f"experiment {key!r}")
        experiments.require_draft(current, "its existence")
        for table in ("experiment_metrics", "variants", "experiments"):
            await connection.execute(text(f"delete from {table} where experiment_id = :id"), {"id": experiment_id})  # noqa: S608
        await changes.record(
            connection,
            by=caller.name,
            request_id=request_id,
            kind="experiment",
            key=key,
            action="delete",
            before=current.model_dump(mode="json"),
        )

    await database.transact(work)


@router.post("/{key}/start", responses=responses(*_EDIT, InvalidTransition, NotReadyToStart))
async def start_experiment(
    key: Key,
    caller: ManageDep,
    database: DatabaseDep,
    request_id: RequestIdDep,
    reply: Response,
    body: Annotated[Start | None, Body()] = None,
    if_match: IfMatchDep = None,
) -> Experiment:
    """From draft to running: users are assigned and their events count from started_at on."""
    started_at = body.started_at if body else None

    async def edit(connection: AsyncConnection, experiment_id: int, current: Experiment) -> Experiment:
        _require(current, ("draft",), "started")
        now = datetime.now(UTC)
        if started_at is not None and not now - timedelta(days=3 * 366) <= started_at <= now + timedelta(minutes=5):
            raise InvalidInput(
                f"started_at is {started_at.isoformat()}",
                rule="started_at is at most three years ago and not in the future",
            )
        _require_complete(current)
        await connection.execute(
            text(
                """update experiments set status = 'running', started_at = coalesce(cast(:at as timestamptz), now())
                    where experiment_id = :id"""
            ),
            {"at": started_at, "id": experiment_id},
        )
        await connection.execute(
            text("""insert into experiment_phases (experiment_id, phase, began_at, coverage, weights, reason)
                    select experiment_id, 1, started_at, coverage,
                           (select jsonb_object_agg(key, weight) from variants v
                            where v.experiment_id = x.experiment_id),
                           'started'
                    from experiments x where experiment_id = :id"""),
            {"id": experiment_id},
        )
        return await experiments.publish(connection, experiment_id, key)

    return await _edited(database, key, edit, "start", caller, request_id, if_match, reply)


@router.post("/{key}/stop", responses=responses(*_EDIT, InvalidTransition))
async def stop_experiment(
    key: Key,
    caller: ManageDep,
    database: DatabaseDep,
    request_id: RequestIdDep,
    reply: Response,
    if_match: IfMatchDep = None,
) -> Experiment:
    """From running to stopped: nobody new is assigned, later events do not count."""

    async def edit(connection: AsyncConnection, experiment_id: int, current: Experiment) -> Experiment:
        _require(current, ("running",), "stopped")
        await connection.execute(
            text("update experiments set status = 'stopped', stopped_at = now() where experiment_id = :id"),
            {"id": experiment_id},
        )
        await connection.execute(
            text("update experiment_phases set ended_at = now() where experiment_id = :id and ended_at is null"),
            {"id": experiment_id},
        )
        return await experiments.publish(connection, experiment_id, key)

    return await _edited(database, key, edit, "stop", caller, request_id, if_match, reply)


@router.post("/{key}/archive", responses=responses(*_EDIT, InvalidTransition))
async def archive_experiment(
    key: Key,
    caller: ManageDep,
    database: DatabaseDep,
    request_id: RequestIdDep,
    reply: Response,
    if_match: IfMatchDep = None,
) -> Experiment:
    """From stopped to archived: its results stay readable, nothing of it changes any more."""

    async def edit(connection: AsyncConnection, experiment_id: int, current: Experiment) -> Experiment:
        _require(current, ("stopped",), "archived")
        await connection.execute(
            text("update experiments set status = 'archived' where experiment_id = :id"), {"id": experiment_id}
        )
        return await experiments.publish(connection, experiment_id, key)

    return await _edited(database, key, edit, "archive", caller, request_id, if_match, reply)


def _require(current: Experiment, statuses: tuple[str, ...], done: str) -> None:
    if current.status not in statuses:
        raise InvalidTransition(
            f"experiment {current.key!r} is {current.status}; only one that is {' or '.join(statuses)} can be {done}"
        )


def _require_complete(current: Experiment) -> None:
    if not current.variants:
        raise NotReadyToStart(f"experiment {current.key!r} has no variants")
    try:
        experiments.check_weights({variant.key: variant.weight for variant in current.variants})
    except WeightsSum as wrong:
        raise NotReadyToStart(f"experiment {current.key!r}: {wrong.found}") from None
    if not any(variant.is_control for variant in current.variants):
        raise NotReadyToStart(f"experiment {current.key!r} has no control")


async def _edited(
    database: DatabaseDep,
    key: str,
    edit: experiments.Edit,
    action: str,
    caller: Caller,
    request_id: str,
    if_match: str | None,
    reply: Response,
) -> Experiment:
    changed = await experiments.edit(database, key, edit, action, caller.name, request_id, if_match)
    reply.headers["ETag"] = etag(changed.revision)
    return changed
