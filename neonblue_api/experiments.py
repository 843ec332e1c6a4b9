"""Experiments in PostgreSQL: reading them whole, and the changes that their life allows.

All functions but `find` run inside the caller's transaction; each change locks the experiment's row first, so that of
two editors one waits and then sees what the other did.
"""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api.database import Database
from neonblue_api.errors import (
    ExperimentKept,
    ExperimentNotFound,
    ExperimentRunning,
    InvalidInput,
    KeyTaken,
    UnknownMetric,
    WeightsSum,
)
from neonblue_api.models.experiments import (
    Experiment,
    ExperimentChange,
    ExperimentIn,
    MetricOfExperiment,
    MetricUse,
    Variant,
    VariantIn,
)

_TOLERANCE = Decimal("0.000001")
# Of what is published, in bytes. Escaped it may be twice as long; one message that is beyond the pipeline's
# max_message_bytes (16 MiB) stops the whole stream.
_MOST_PUBLISHED = 1 << 20

_SELECT = """
    select x.experiment_id, x.key, x.name, x.description, x.status, x.seed, x.coverage::float8 as coverage, x.revision,
           x.started_at, x.stopped_at, x.created_at, x.updated_at,
           (select count(*) from experiment_phases p where p.experiment_id = x.experiment_id) as phase,
           (select coalesce(json_agg(json_build_object('key', v.key, 'name', v.name, 'weight', v.weight::float8,
                                                       'is_control', v.is_control) order by v.position), '[]')
            from variants v where v.experiment_id = x.experiment_id)::text as variants,
           (select coalesce(json_agg(json_build_object('key', m.key, 'role', em.role) order by em.position), '[]')
            from experiment_metrics em join metrics m using (metric_id)
            where em.experiment_id = x.experiment_id)::text as metrics
    from experiments x"""
_ONE = text(f"{_SELECT} where x.key = :key")
_PAGE = text(f"""{_SELECT}
    where (cast(:after as bigint) is null or x.experiment_id > :after)
      and (cast(:status as text) is null or x.status = :status)
    order by x.experiment_id limit :limit""")
_LOCK = text("select experiment_id from experiments where key = :key for no key update")
_INSERT = text("""
    insert into experiments (key, name, description, seed, coverage)
    values (:key, :name, :description, :seed, cast(:coverage as numeric)) returning experiment_id""")
_INSERT_VARIANT = text("""
    insert into variants (experiment_id, key, name, weight, is_control, position)
    values (:experiment_id, :key, :name, cast(:weight as numeric), :is_control, :position)""")
_INSERT_METRIC = text("""
    insert into experiment_metrics (experiment_id, metric_id, role, position)
    select :experiment_id, metric_id, :role, :position from metrics where key = :key returning metric_id""")
_PUBLISHED_BYTES = text("select octet_length(experiment_payload(x)::text) from experiments x where experiment_id = :id")
_PUBLISH = text("select publish_experiment(:id)")


def _experiment(row: Any) -> tuple[int, Experiment]:
    fields = dict(row)
    experiment_id = fields.pop("experiment_id")
    fields["variants"] = [Variant(**variant) for variant in json.loads(fields["variants"])]
    fields["metrics"] = [MetricOfExperiment(**metric) for metric in json.loads(fields["metrics"])]
    return experiment_id, Experiment(**fields)


async def get(connection: AsyncConnection, key: str) -> tuple[int, Experiment]:
    """The experiment and its number. Raises ExperimentNotFound."""
    row = (await connection.execute(_ONE, {"key": key})).mappings().first()
    if row is None:
        raise ExperimentNotFound(f"experiment {key!r} does not exist")
    return _experiment(row)


async def find(database: Database, key: str) -> tuple[int, Experiment]:
    """As `get`, in a transaction of its own. Raises DatabaseUnavailable, too."""

    async def work(connection: AsyncConnection) -> tuple[int, Experiment]:
        return await get(connection, key)

    return await database.transact(work)


async def get_locked(connection: AsyncConnection, key: str) -> tuple[int, Experiment]:
    """As `get`, with its row locked until the transaction ends."""
    await connection.execute(_LOCK, {"key": key})
    return await get(connection, key)


async def page(
    connection: AsyncConnection, *, after: int | None, status: str | None, limit: int
) -> list[tuple[int, Experiment]]:
    rows = await connection.execute(_PAGE, {"after": after, "status": status, "limit": limit})
    return [_experiment(row) for row in rows.mappings()]


async def create(connection: AsyncConnection, new: ExperimentIn) -> Experiment:
    """Raises KeyTaken, WeightsSum, InvalidInput, UnknownMetric."""
    variants = arranged(new.variants)
    try:
        experiment_id = await connection.scalar(
            _INSERT,
            {
                "key": new.key,
                "name": new.name or new.key,
                "description": new.description,
                "seed": new.seed or new.key,
                "coverage": repr(new.coverage),
            },
        )
    except IntegrityError:
        raise KeyTaken(f"experiment {new.key!r} exists already") from None
    await _put_variants(connection, experiment_id, variants)
    await _put_metrics(connection, experiment_id, new.metrics)
    return await publish(connection, experiment_id, new.key)


async def change(
    connection: AsyncConnection, experiment_id: int, current: Experiment, wanted: ExperimentChange
) -> Experiment:
    """Raises ExperimentRunning where the experiment's life forbids it; WeightsSum, InvalidInput, UnknownMetric."""
    guarded = wanted.model_fields_set & {"seed", "coverage", "variants", "metrics"}
    if guarded:
        require_draft(current, ", ".join(sorted(guarded)))
    values = {
        "experiment_id": experiment_id,
        "name": wanted.name if wanted.name is not None else current.name,
        "description": wanted.description if wanted.description is not None else current.description,
        "seed": wanted.seed or current.seed,
        "coverage": repr(wanted.coverage or current.coverage),
    }
    await connection.execute(
        text("""update experiments set name = :name, description = :description, seed = :seed,
                coverage = cast(:coverage as numeric) where experiment_id = :experiment_id"""),
        values,
    )
    if wanted.variants is not None:
        variants = arranged(wanted.variants)
        await connection.execute(text("delete from variants where experiment_id = :id"), {"id": experiment_id})
        await _put_variants(connection, experiment_id, variants)
    if wanted.metrics is not None:
        await connection.execute(
            text("delete from experiment_metrics where experiment_id = :id"), {"id": experiment_id}
        )
        await _put_metrics(connection, experiment_id, wanted.metrics)
    return await publish(connection, experiment_id, current.key, grown=bool(guarded))


def require_draft(current: Experiment, what: str) -> None:
    """Raises ExperimentRunning unless the experiment is a draft."""
    if current.status != "draft":
        raise ExperimentRunning(f"experiment {current.key!r} is {current.status}; the request changes {what}")


async def delete(connection: AsyncConnection, experiment_id: int, current: Experiment) -> None:
    """Raises ExperimentKept unless it is a draft."""
    if current.status != "draft":
        raise ExperimentKept(f"experiment {current.key!r} is {current.status}")
    await connection.execute(text("select delete_draft(:id)"), {"id": experiment_id})


async def publish(connection: AsyncConnection, experiment_id: int, key: str, *, grown: bool = True) -> Experiment:
    """Sends the whole definition on its way at a new revision, and returns it. Raises InvalidInput as `send` does."""
    await send(connection, experiment_id, key, grown=grown)
    return (await get(connection, key))[1]


async def send(connection: AsyncConnection, experiment_id: int, key: str, *, grown: bool) -> None:
    """As `publish`. Raises InvalidInput where the definition has `grown` beyond what the stream carries."""
    size = await connection.scalar(_PUBLISHED_BYTES, {"id": experiment_id}) if grown else 0
    if size > _MOST_PUBLISHED:
        raise InvalidInput(
            f"experiment {key!r} with its variants, metrics and phases has {size} bytes",
            rule=f"an experiment, with the definitions of its metrics, has at most {_MOST_PUBLISHED} bytes;"
            " long lists in filters take most",
        )
    await connection.execute(_PUBLISH, {"id": experiment_id})


def arranged(variants: list[VariantIn]) -> list[dict[str, Any]]:
    """Rows of variants with weights and one control filled in. Raises WeightsSum, InvalidInput."""
    if not variants:
        return []
    keys = [variant.key for variant in variants]
    if len(set(keys)) != len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidInput(
            f"variants: {twice!r} stands there twice", rule="a variant's key is unique in its experiment"
        )
    given = [variant.weight for variant in variants if variant.weight is not None]
    if given and len(given) != len(variants):
        raise WeightsSum(
            f"{len(given)} of {len(variants)} variants have a weight", rule="all variants have a weight or none"
        )
    if given:
        check_weights({variant.key: variant.weight for variant in variants if variant.weight is not None})
        weights = [Decimal(repr(weight)) for weight in given]
    else:
        weights = even_weights(len(variants))
    controls = [variant.key for variant in variants if variant.is_control]
    if len(controls) > 1:
        raise InvalidInput(f"variants: {', '.join(controls)} are marked as control", rule="one variant is the control")
    control = controls[0] if controls else keys[0]
    return [
        {"key": v.key, "name": v.name, "weight": str(weight), "is_control": v.key == control, "position": position}
        for position, (v, weight) in enumerate(zip(variants, weights, strict=True))
    ]


def even_weights(count: int) -> list[Decimal]:
    """`count` weights of six digits that sum to 1 exactly."""
    share = (Decimal(1) / count).quantize(Decimal("0.000001"))
    return [share] * (count - 1) + [1 - share * (count - 1)]


def check_weights(weights: dict[str, float]) -> None:
    """Raises WeightsSum unless they sum to 1, to a millionth."""
    total = sum((Decimal(repr(weight)) for weight in weights.values()), Decimal(0))
    if abs(total - 1) > _TOLERANCE:
        each = ", ".join(f"{key} {weight:g}" for key, weight in weights.items())
        raise WeightsSum(f"the weights sum to {total.normalize():f} ({each})")


async def _put_variants(connection: AsyncConnection, experiment_id: int, rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        await connection.execute(_INSERT_VARIANT, row | {"experiment_id": experiment_id})


async def _put_metrics(connection: AsyncConnection, experiment_id: int, metrics: list[MetricUse]) -> None:
    keys = [metric.key for metric in metrics]
    if len(set(keys)) != len(keys):
        raise InvalidInput("metrics: a metric stands there twice", rule="an experiment uses a metric once")
    for position, metric in enumerate(metrics):
        put = await connection.scalar(
            _INSERT_METRIC,
            {"experiment_id": experiment_id, "key": metric.key, "role": metric.role, "position": position},
        )
        if put is None:
            raise UnknownMetric(f"metric {metric.key!r} does not exist")
