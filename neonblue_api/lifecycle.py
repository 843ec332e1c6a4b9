"""An experiment's life, draft → running → stopped → archived. Functions run in the transaction that locked it."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import experiments
from neonblue_api.errors import InvalidInput, InvalidTransition, NotReadyToStart, WeightsSum
from neonblue_api.models.experiments import Experiment

_LONGEST_AGO = timedelta(days=3 * 366)
_FUTURE = timedelta(minutes=5)

_START = text("""
    update experiments set status = 'running', started_at = coalesce(cast(:at as timestamptz), now())
    where experiment_id = :id""")
_FIRST_PHASE = text("""
    insert into experiment_phases (experiment_id, phase, began_at, coverage, weights, reason)
    select experiment_id, 1, started_at, coverage,
           (select jsonb_object_agg(key, weight) from variants v where v.experiment_id = x.experiment_id), 'started'
    from experiments x where experiment_id = :id""")
_STOP = text("update experiments set status = 'stopped', stopped_at = now() where experiment_id = :id")
_LAST_PHASE = text("update experiment_phases set ended_at = now() where experiment_id = :id and ended_at is null")
_ARCHIVE = text("update experiments set status = 'archived' where experiment_id = :id")


async def start(
    connection: AsyncConnection, experiment_id: int, current: Experiment, started_at: datetime | None
) -> Experiment:
    """Raises InvalidTransition, InvalidInput, NotReadyToStart."""
    _require(current, "draft", "started")
    now = datetime.now(UTC)
    if started_at is not None and not now - _LONGEST_AGO <= started_at <= now + _FUTURE:
        raise InvalidInput(
            f"started_at is {started_at.isoformat()}",
            rule="started_at is at most three years ago and not in the future",
        )
    _require_complete(current)
    await connection.execute(_START, {"at": started_at, "id": experiment_id})
    await connection.execute(_FIRST_PHASE, {"id": experiment_id})
    return await experiments.publish(connection, experiment_id, current.key)


async def stop(connection: AsyncConnection, experiment_id: int, current: Experiment) -> Experiment:
    """Raises InvalidTransition."""
    _require(current, "running", "stopped")
    await connection.execute(_STOP, {"id": experiment_id})
    await connection.execute(_LAST_PHASE, {"id": experiment_id})
    return await experiments.publish(connection, experiment_id, current.key, grown=False)


async def archive(connection: AsyncConnection, experiment_id: int, current: Experiment) -> Experiment:
    """Raises InvalidTransition."""
    _require(current, "stopped", "archived")
    await connection.execute(_ARCHIVE, {"id": experiment_id})
    return await experiments.publish(connection, experiment_id, current.key, grown=False)


def _require(current: Experiment, status: str, done: str) -> None:
    if current.status != status:
        raise InvalidTransition(
            f"experiment {current.key!r} is {current.status}; only one that is {status} can be {done}"
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
