"""What is wrong with the servers when a process starts: one line each in the log, with the setting and the remedy.

The process starts all the same: a server that comes later is found by the first request that needs it.
"""

import logging
import time
from typing import Any

import psycopg

from neonblue_api.analytics import Analytics, select
from neonblue_api.database import Database
from neonblue_api.errors import AnalyticsUnavailable, DatabaseUnavailable

logger = logging.getLogger(__name__)
_MOST_SKEW_S = 2.0


async def tell(database: Database, analytics: Analytics) -> None:
    """Looks at PostgreSQL and ClickHouse once."""
    try:
        troubles = await database.call(_unfit)
    except DatabaseUnavailable as error:
        remedy = "start PostgreSQL, or correct the setting; until then every route answers 503"
        troubles = [f"{error.found}; {remedy}"]
    for trouble in troubles:
        logger.error("NEONBLUE_POSTGRES_URL: %s", trouble)
    try:
        await analytics.ping("a ping")
    except AnalyticsUnavailable:
        remedy = "start it, or correct the setting; until then results answer 503, and intake goes on"
        logger.error("NEONBLUE_CLICKHOUSE_URL: ClickHouse does not answer; %s", remedy)


async def _unfit(driver: psycopg.AsyncConnection[Any]) -> list[str]:
    cursor = await driver.execute(select("unfit_postgres").encode(), {"least_version": None, "slot": None})
    troubles = [f"PostgreSQL's {what} is {found}; {remedy}" for what, found, remedy, _ in await cursor.fetchall()]
    before = time.time()
    cursor = await driver.execute(
        """select extract(epoch from clock_timestamp())::float8,
                  to_regproc('accept_events') is not null and to_regclass('known_event_ids') is not null"""
    )
    row = await cursor.fetchone()
    after = time.time()
    assert row is not None
    theirs, has_schema = row
    apart = max(before - theirs, theirs - after)
    if apart > _MOST_SKEW_S:
        troubles.append(
            f"the clocks of PostgreSQL and of this machine are {apart:,.1f} s apart; "
            f"let both follow a time server: {_MOST_SKEW_S:g} s are allowed"
        )
    if not has_schema:
        troubles.append("the schema is not applied; run `python -m neonblue_pipeline.setup`")
    return troubles
