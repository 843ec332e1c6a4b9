"""ClickHouse for the reading routes: named selects of sql/read with bound parameters. Intake never needs it."""

import asyncio
import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from ssl import create_default_context
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from neonblue_api.errors import AnalyticsUnavailable
from neonblue_api.settings import Settings

logger = logging.getLogger(__name__)
READ = Path(__file__).parents[1] / "sql" / "read"
DATABASE = "experiments_analytics"
_MISSING = re.compile(
    r"(UNKNOWN_TABLE|UNKNOWN_DATABASE|UNKNOWN_IDENTIFIER|Unknown table|Database .* does not exist|code:? (47|60|81)\b)",
    re.I,
)
_AT_ONCE = 16
_PATIENCE = 1.0  # seconds until a select that is not answered makes the API ask whether ClickHouse is there at all
_PING_TIMEOUT = 1.0


@cache
def select(name: str) -> str:
    """The text of sql/read/NAME.sql."""
    return (READ / f"{name}.sql").read_text()


class Analytics:
    """Connects when it is first asked, and again after a failure.

    The driver works in threads; they are its own, so that a ClickHouse that stands still takes none from intake.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.clickhouse_url.get_secret_value()
        self._timeout = settings.clickhouse_timeout
        self._client: Client | None = None
        self._connecting = Lock()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="clickhouse")

    async def read(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a named select. Raises AnalyticsUnavailable, which says what is missing."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._query, name, parameters)
        running.add_done_callback(_taken_note_of)
        try:
            done, _ = await asyncio.wait({running}, timeout=_PATIENCE)
            if not done:
                await self.ping(name)
                done, _ = await asyncio.wait({running}, timeout=self._timeout)
            if not done:
                raise AnalyticsUnavailable(f"ClickHouse did not answer {name} within {self._timeout:g} s")
            return running.result()
        except (ClickHouseError, OSError) as error:
            if _MISSING.search(str(error)):
                raise AnalyticsUnavailable(
                    f"ClickHouse lacks what {name} reads: {str(error).splitlines()[0][:300]}", retry_after=10
                ) from error
            logger.warning("ClickHouse: %s: %s", name, error)
            if "MEMORY_LIMIT_EXCEEDED" in str(error):
                raise AnalyticsUnavailable(f"ClickHouse has no memory left for {name}", retry_after=5) from error
            raise AnalyticsUnavailable(f"ClickHouse does not answer {name}") from error
        finally:
            running.cancel()  # one that still waits for a thread is not begun for nobody

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    async def ping(self, name: str) -> None:
        """Raises AnalyticsUnavailable unless the server answers /ping: a slow select is waited for, a dead one not."""
        url = urlsplit(self._url)
        secure = url.scheme == "https"
        try:
            async with asyncio.timeout(_PING_TIMEOUT):
                reader, writer = await asyncio.open_connection(
                    url.hostname,
                    url.port or (8443 if secure else 8123),
                    ssl=create_default_context() if secure else None,
                )
                try:
                    writer.write(f"GET /ping HTTP/1.1\r\nHost: {url.hostname}\r\nConnection: close\r\n\r\n".encode())
                    answered = await reader.read(1)
                finally:
                    writer.close()
        except (TimeoutError, OSError):
            answered = b""
        if not answered:
            raise AnalyticsUnavailable(f"ClickHouse does not answer {name}, nor whether it is there")

    def _query(self, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        result = self._connected().query(select(name), parameters=parameters)
        return list(result.named_results())

    def _connected(self) -> Client:
        with self._connecting:
            if self._client is None:
                self._client = clickhouse_connect.get_client(
                    dsn=self._url,
                    interface=urlsplit(self._url).scheme,  # the driver would speak https to port 8443 alone
                    ca_cert=os.environ.get("SSL_CERT_FILE"),
                    database=DATABASE,
                    autogenerate_session_id=False,  # without a session one client serves many threads
                    connect_timeout=2,
                    send_receive_timeout=self._timeout,
                    query_retries=1,
                    tz_mode="aware",
                )
            return self._client


def _taken_note_of(late: "asyncio.Future[Any]") -> None:
    if not late.cancelled():
        late.exception()  # a late failure was already answered with 503
