"""Metrics in PostgreSQL: reading them, and the changes that experiments in use allow."""

import json
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import experiments
from neonblue_api.errors import InvalidInput, KeyTaken, MetricInUse, MetricNotFound
from neonblue_api.models.metrics import Definition, Metric, MetricChange, MetricIn, problems

_COLUMNS = """key, name, kind, event_type, value_property as value, direction, definition::text as definition, revision,
              created_at, updated_at"""
_ONE = text(f"select metric_id, {_COLUMNS} from metrics where key = :key")  # noqa: S608 - a constant
_LOCKED = text(f"select metric_id, {_COLUMNS} from metrics where key = :key for no key update")  # noqa: S608
_PAGE = text(f"""select metric_id, {_COLUMNS} from metrics
                 where cast(:after as bigint) is null or metric_id > :after order by metric_id limit :limit""")  # noqa: S608
_INSERT = text("""
    insert into metrics (key, name, kind, event_type, value_property, direction, definition)
    values (:key, :name, :kind, :event_type, :value, :direction, cast(:definition as jsonb))""")
_USERS = text("""
    select x.experiment_id, x.key, x.status from experiments x join experiment_metrics using (experiment_id)
    where metric_id = :metric_id order by x.experiment_id for no key update of x""")
_UPDATE = text("""
    update metrics set name = :name, event_type = :event_type, value_property = :value, direction = :direction,
                       definition = cast(:definition as jsonb), revision = revision + 1, updated_at = now()
    where metric_id = :metric_id""")


def _metric(row: Any) -> tuple[int, Metric]:
    fields = dict(row)
    metric_id = fields.pop("metric_id")
    fields["definition"] = json.loads(fields["definition"])
    return metric_id, Metric(**fields)


async def get(connection: AsyncConnection, key: str, *, select: TextClause = _ONE) -> tuple[int, Metric]:
    """The metric and its number. Raises MetricNotFound."""
    row = (await connection.execute(select, {"key": key})).mappings().first()
    if row is None:
        raise MetricNotFound(f"metric {key!r} does not exist")
    return _metric(row)


async def get_locked(connection: AsyncConnection, key: str) -> tuple[int, Metric]:
    """As `get`, with its row locked until the transaction ends."""
    return await get(connection, key, select=_LOCKED)


async def page(connection: AsyncConnection, *, after: int | None, limit: int) -> list[tuple[int, Metric]]:
    rows = await connection.execute(_PAGE, {"after": after, "limit": limit})
    return [_metric(row) for row in rows.mappings()]


async def create(connection: AsyncConnection, new: MetricIn) -> Metric:
    """Raises KeyTaken, InvalidInput."""
    _check(new.key, new.kind, new.value, new.definition)
    values = new.model_dump() | {"name": new.name or new.key, "definition": new.definition.kept()}
    try:
        await connection.execute(_INSERT, values)
    except IntegrityError:
        raise KeyTaken(f"metric {new.key!r} exists already") from None
    return (await get(connection, new.key))[1]


async def change(connection: AsyncConnection, metric_id: int, current: Metric, changes: MetricChange) -> Metric:
    """Changes the metric and publishes each experiment that uses it. Raises MetricInUse, InvalidInput."""
    named = changes.model_fields_set
    _check(current.key, current.kind, changes.value, changes.definition)
    users = (await connection.execute(_USERS, {"metric_id": metric_id})).all()
    begun = [key for _, key, status in users if status != "draft"]
    measures = named & {"event_type", "value", "definition"}
    if begun and measures:
        raise MetricInUse(
            f"metric {current.key!r} is used by {', '.join(begun[:5])}; the request changes what it measures"
        )
    values = current.model_dump(mode="json") | changes.model_dump(exclude_unset=True)
    wanted = changes.definition
    values["definition"] = json.dumps(current.definition) if wanted is None else wanted.kept()
    await connection.execute(_UPDATE, values | {"metric_id": metric_id})
    for experiment_id, experiment, _ in users:
        await experiments.send(connection, experiment_id, experiment, grown=bool(measures))
    return (await get(connection, current.key))[1]


def _check(key: str, kind: str, value: str | None, definition: Definition | None) -> None:
    """Raises InvalidInput with every field that the metric's kind does not know or lacks."""
    found = list(problems(kind, value, definition))
    if found:
        raise InvalidInput(
            f"metric {key!r}: " + "; ".join(problem.rule for problem in found),
            rule=found[0].rule if len(found) == 1 else None,
            errors=[
                {"field": problem.field, "message": problem.rule}
                | ({} if problem.found is None else {"found": repr(problem.found)[:200]})
                for problem in found
            ],
        )
