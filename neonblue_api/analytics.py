"""ClickHouse for the reading routes: named selects of sql/read with bound parameters. Intake never needs it."""

import asyncio
import logging
import re
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from neonblue_api.errors import AnalyticsUnavailable
from neonblue_api.settings import Settings

logger = logging.getLogger(__name__)
READ = Path(__file__).parents[1] / "sql" / "read"
DATABASE = "experiments_analytics"
_MISSING = re.compile(
    r"(UNKNOWN_TABLE|UNKNOWN_DATABASE|Unknown table|Database .* does not exist|code:? (60|81)\b)", re.I
)


@cache
def select(name: str) -> str:
    """The text of sql/read/NAME.sql."""
    return (READ / f"{name}.sql").read_text()


class Analytics:
    """Connects when it is first asked, and again after a failure. The driver works in threads."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.clickhouse_url.get_secret_value()
        self._timeout = settings.clickhouse_timeout
        self._client: Client | None = None
        self._connecting = Lock()

    async def read(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a named select. Raises AnalyticsUnavailable, which says what is missing."""
        try:
            async with asyncio.timeout(self._timeout + 1):
                return await asyncio.to_thread(self._query, name, parameters)
        except TimeoutError:
            raise AnalyticsUnavailable(f"ClickHouse did not answer {name} within {self._timeout:g} s") from None
        except (ClickHouseError, OSError) as error:
            if _MISSING.search(str(error)):
                raise AnalyticsUnavailable(
                    f"ClickHouse lacks what {name} reads: {str(error).splitlines()[0][:300]}", retry_after=10
                ) from error
            logger.warning("ClickHouse: %s: %s", name, error)
            raise AnalyticsUnavailable(f"ClickHouse does not answer {name}") from error

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _query(self, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        result = self._connected().query(select(name), parameters=parameters)
        return list(result.named_results())

    def _connected(self) -> Client:
        with self._connecting:
            if self._client is None:
                self._client = clickhouse_connect.get_client(
                    dsn=self._url,
                    database=DATABASE,
                    autogenerate_session_id=False,  # without a session one client serves many threads
                    connect_timeout=2,
                    send_receive_timeout=self._timeout,
                    query_retries=1,
                    tz_mode="aware",
                )
            return self._client
