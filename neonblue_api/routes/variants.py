"""Variants of an experiment, and the phases in which weights or coverage differ."""

import json
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import experiments
from neonblue_api.access import ReadDep
from neonblue_api.bodies import StrictRoute
from neonblue_api.changes import EditorDep
from neonblue_api.errors import (
    DatabaseUnavailable,
    ExperimentNotFound,
    ExperimentNotRunning,
    ExperimentRunning,
    InvalidInput,
    KeyTaken,
    MalformedJson,
    PreconditionFailed,
    UnknownVariant,
    VariantNotFound,
    WeightsSum,
)
from neonblue_api.listing import etag
from neonblue_api.models.experiments import Experiment, Phase, PhaseIn, Variant, VariantChange, VariantIn
from neonblue_api.models.fields import Key
from neonblue_api.replies import responses
from neonblue_api.state import DatabaseDep

router = APIRouter(prefix="/v1/experiments/{key}", tags=["variants"], route_class=StrictRoute)
_ONE = (InvalidInput, DatabaseUnavailable, ExperimentNotFound)
_EDIT = (*_ONE, MalformedJson, PreconditionFailed, ExperimentRunning)
_PHASES = text("""
    select phase, began_at, ended_at, coverage::float8 as coverage, weights::text as weights, reason
    from experiment_phases where experiment_id = :id order by phase""")


@router.get("/variants", responses=responses(*_ONE))
async def list_variants(key: Key, _: ReadDep, database: DatabaseDep, reply: Response) -> list[Variant]:
    """The variants in the order of the hash buckets."""

    async def work(connection: AsyncConnection) -> Experiment:
        return (await experiments.get(connection, key))[1]

    experiment = await database.transact(work)
    reply.headers["ETag"] = etag(experiment.revision)
    return experiment.variants


@router.post("/variants", status_code=201, responses=responses(*_EDIT, KeyTaken))
async def add_variant(
    key: Key,
    new: VariantIn,
    editor: EditorDep,
) -> Variant:
    """Add a variant to a draft; without a weight it gets 0. That weights sum to 1 is demanded at the start."""

    async def edit(connection: AsyncConnection, experiment_id: int, current: Experiment) -> Experiment:
        experiments.require_draft(current, "variants")
        if any(variant.key == new.key for variant in current.variants):
            raise KeyTaken(f"experiment {key!r} has a variant {new.key!r} already")
        is_control = bool(new.is_control) or not current.variants
        if is_control:
            await _no_control(connection, experiment_id)
        await connection.execute(
            text("""insert into variants (experiment_id, key, name, weight, is_control, position)
                    select :id, :key, :name, cast(:weight as numeric), :is_control, coalesce(max(position) + 1, 0)
                    from variants where experiment_id = :id"""),
            {
                "id": experiment_id,
                "key": new.key,
                "name": new.name,
                "weight": repr(new.weight or 0.0),
                "is_control": is_control,
            },
        )
        return await experiments.publish(connection, experiment_id, key)

    changed = await editor.edit("experiment", key, experiments.get_locked, edit, "add_variant")
    return _of(changed, new.key)


@router.patch("/variants/{variant_key}", responses=responses(*_EDIT, VariantNotFound))
async def change_variant(
    key: Key,
    variant_key: Key,
    wanted: VariantChange,
    editor: EditorDep,
) -> Variant:
    """Change what the body names. Once the experiment has begun, only the name."""

    async def edit(connection: AsyncConnection, experiment_id: int, current: Experiment) -> Experiment:
        held = _of(current, variant_key)
        if wanted.model_fields_set & {"weight", "is_control"}:
            experiments.require_draft(current, f"variant {variant_key!r}")
        if wanted.is_control:
            await _no_control(connection, experiment_id)
        await connection.execute(
            text("""update variants set name = :name, weight = cast(:weight as numeric), is_control = :is_control
                    where experiment_id = :id and key = :key"""),
            {
                "id": experiment_id,
                "key": variant_key,
                "name": held.name if wanted.name is None else wanted.name,
                "weight": repr(held.weight if wanted.weight is None else wanted.weight),
                "is_control": held.is_control if wanted.is_control is None else wanted.is_control,
            },
        )
        return await experiments.publish(connection, experiment_id, key)

    changed = await editor.edit("experiment", key, experiments.get_locked, edit, "change_variant")
    return _of(changed, variant_key)


@router.delete("/variants/{variant_key}", status_code=204, responses=responses(*_EDIT, VariantNotFound))
async def delete_variant(
    key: Key,
    variant_key: Key,
    editor: EditorDep,
) -> None:
    """Take a variant out of a draft."""

    async def edit(connection: AsyncConnection, experiment_id: int, current: Experiment) -> Experiment:
        _of(current, variant_key)
        experiments.require_draft(current, "variants")
        await connection.execute(
            text("delete from variants where experiment_id = :id and key = :key"),
            {"id": experiment_id, "key": variant_key},
        )
        return await experiments.publish(connection, experiment_id, key)

    await editor.edit("experiment", key, experiments.get_locked, edit, "delete_variant")


@router.get("/phases", responses=responses(*_ONE))
async def list_phases(key: Key, _: ReadDep, database: DatabaseDep) -> list[Phase]:
    """By which weights and coverage users were assigned, since when."""

    async def work(connection: AsyncConnection) -> list[Phase]:
        experiment_id, _ = await experiments.get(connection, key)
        return await _phases(connection, experiment_id)

    return await database.transact(work)


@router.post("/phases", status_code=201, responses=responses(*_EDIT, ExperimentNotRunning, UnknownVariant, WeightsSum))
async def begin_phase(
    key: Key,
    new: PhaseIn,
    editor: EditorDep,
) -> Phase:
    """Change weights or coverage of a running experiment, stated and on record.

    Users who are assigned keep their variant; those who come are assigned by the new weights.
    """
    begun: list[Phase] = []

    async def edit(connection: AsyncConnection, experiment_id: int, current: Experiment) -> Experiment:
        if current.status != "running":
            raise ExperimentNotRunning(
                f"experiment {key!r} is {current.status}", rule="a phase begins only while the experiment runs"
            )
        weights = {variant.key: variant.weight for variant in current.variants}
        if new.weights is not None:
            if new.weights.keys() != weights.keys():
                odd = ", ".join(sorted(new.weights.keys() ^ weights.keys()))
                raise UnknownVariant(f"weights: {odd} differ", rule="weights name every variant of the experiment once")
            experiments.check_weights(new.weights)
            weights = new.weights
        coverage = new.coverage or current.coverage
        for variant, weight in weights.items():
            await connection.execute(
                text(
                    """update variants set weight = cast(:weight as numeric) where experiment_id = :id and key = :key"""
                ),
                {"id": experiment_id, "key": variant, "weight": repr(weight)},
            )
        await connection.execute(
            text("update experiments set coverage = cast(:coverage as numeric) where experiment_id = :id"),
            {"id": experiment_id, "coverage": repr(coverage)},
        )
        await connection.execute(
            text("""with ended as (update experiment_phases set ended_at = clock_timestamp()
                                   where experiment_id = :id and ended_at is null returning phase, ended_at)
                    insert into experiment_phases (experiment_id, phase, began_at, coverage, weights, reason)
                    select :id, coalesce(phase, 0) + 1, coalesce(ended_at, clock_timestamp()),
                           cast(:coverage as numeric), cast(:weights as jsonb), :reason
                    from (select) as one left join ended on true"""),
            {
                "id": experiment_id,
                "coverage": repr(coverage),
                "weights": json.dumps(weights),
                "reason": new.reason,
            },
        )
        begun[:] = await _phases(connection, experiment_id)
        return await experiments.publish(connection, experiment_id, key)

    await editor.edit("experiment", key, experiments.get_locked, edit, "begin_phase")
    return begun[-1]


async def _phases(connection: AsyncConnection, experiment_id: int) -> list[Phase]:
    rows: Any = (await connection.execute(_PHASES, {"id": experiment_id})).mappings()
    return [Phase(**(dict(row) | {"weights": json.loads(row["weights"])})) for row in rows]


async def _no_control(connection: AsyncConnection, experiment_id: int) -> None:
    await connection.execute(
        text("update variants set is_control = false where experiment_id = :id and is_control"), {"id": experiment_id}
    )


def _of(experiment: Experiment, variant_key: str) -> Variant:
    for variant in experiment.variants:
        if variant.key == variant_key:
            return variant
    raise VariantNotFound(f"experiment {experiment.key!r} has no variant {variant_key!r}")
