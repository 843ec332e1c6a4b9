"""Everything that every store keeps of one person, page by page: it may be more than a process can hold."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from neonblue_api.analytics import Analytics
from neonblue_api.database import Database
from neonblue_api.errors import Unavailable

T = TypeVar("T")
Row = tuple[str, str]  # the store, and the row as JSON that the store wrote, so that no reader rounds a number
_PAGE = 1000  # rows; where each has the longest properties 64 MB
_FEW: dict[str, TextClause] = {
    "postgresql users": text("select to_jsonb(u)::text from users u where user_id = :user_id"),
    "postgresql assignments": text("""
        select (to_jsonb(a) || jsonb_build_object('experiment', x.key, 'variant', v.key))::text
        from assignments a join experiments x using (experiment_id) join variants v using (variant_id)
        where a.user_id = :user_id order by a.created_at"""),
}
# In the order of the index by user and time. A place that could be null would be looked up by the user alone.
_EVENTS = text("""
    select to_jsonb(e)::text as row, e.timestamp::text as after_time, e.event_id::text as after_id from events e
    where user_id = :user_id
      and (e.timestamp, e.event_id) > (cast(:after_time as timestamptz), cast(:after_id as uuid))
    order by e.timestamp, e.event_id limit :limit""")
_NO_ID = "00000000-0000-0000-0000-000000000000"
# Selects of sql/read whose rows are many, with the place before the first of them; each row tells its own.
_MANY: dict[str, dict[str, Any]] = {
    "person_landing": {"after_topic": "", "after_partition": 0, "after_offset": 0, "after_ms": 0},
    "person_events": {"after_us": -2_208_988_800_000_000, "after_id": _NO_ID},  # 1900, the first that ClickHouse knows
    "person_journeys": {"after_day": "1900-01-01", "after_experiment": 0},
}


async def pages(database: Database, analytics: Analytics, user_id: str) -> AsyncIterator[list[Row]]:
    """Raises DatabaseUnavailable, AnalyticsUnavailable: of the first page at once, later after five tries."""

    async def few(connection: AsyncConnection) -> list[Row]:
        found: list[Row] = []
        for store, query in _FEW.items():
            found += [(store, row) for row in (await connection.scalars(query, {"user_id": user_id})).all()]
        return found

    yield _of_clickhouse(await analytics.read("person", user_id=user_id)) + await database.transact(few)
    for name, place in _MANY.items():
        async for rows in _following(place, partial(analytics.read, name, user_id=user_id)):
            yield _of_clickhouse(rows)

    async def events(**after: Any) -> list[Any]:
        async def work(connection: AsyncConnection) -> list[Any]:
            return list((await connection.execute(_EVENTS, {"user_id": user_id, **after})).mappings())

        return await database.transact(work)

    async for rows in _following({"after_time": "-infinity", "after_id": _NO_ID}, events):
        yield [("postgresql events", row["row"]) for row in rows]


def _of_clickhouse(rows: list[Any]) -> list[Row]:
    return [(f"clickhouse {row['store']}", row["row"]) for row in rows]


async def _following(place: dict[str, Any], read: Callable[..., Awaitable[list[Any]]]) -> AsyncIterator[list[Any]]:
    """The pages after `place`, each of which `read` finds after the last row of the one before."""
    while rows := await _patiently(read, **place, limit=_PAGE):
        yield rows
        place = {column: rows[-1][column] for column in place}


@retry(retry=retry_if_exception_type(Unavailable), stop=stop_after_attempt(5), wait=wait_fixed(1), reraise=True)
async def _patiently(read: Callable[..., Awaitable[T]], **asked: Any) -> T:
    """Of hundreds of pages one may meet a server that is busy for a moment."""
    return await read(**asked)
