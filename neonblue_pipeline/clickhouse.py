"""The way to ClickHouse: the ordinary client, one per process and thread, with our settings on every statement."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from neonblue_pipeline.settings import DATABASE, Settings
from neonblue_pipeline.sqlfiles import read_sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


# ClickHouse 26.1 puts joins into another order and then loses rows of left joins whose tables were filled again after a
# truncate: segment_statistics gave 0 of 28 rows.
_JOINS_AS_WRITTEN = {"query_plan_optimize_join_order_limit": 0}


class ClickHouse:
    """Statements against experiments_analytics. `comment` is stamped on each of them as log_comment."""

    def __init__(self, client: "Client", comment: str) -> None:
        self._client = client
        self._settings: dict[str, Any] = {"log_comment": comment} | _JOINS_AS_WRITTEN

    def with_comment(self, comment: str) -> "ClickHouse":
        """The same connection, whose statements carry another comment."""
        return ClickHouse(self._client, comment)

    def command(self, statement: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> Any:
        """Runs a statement that returns no rows, or one value."""
        return self._client.command(statement, parameters=dict(parameters or {}), settings=self._settings | settings)

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        return self._client.query(query, parameters=dict(parameters or {}), settings=self._settings).result_rows

    def dicts(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        result = self._client.query(query, parameters=dict(parameters or {}), settings=self._settings)
        return list(result.named_results())

    def read(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a named select in sql/read."""
        return self.dicts(read_sql(f"read/{name}"), parameters)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
        if rows:
            self._client.insert(table, rows, column_names=columns, settings=self._settings)
        return len(rows)

    def stream(self, query: str, form: str, size: int) -> Iterator[bytes]:
        """The rows of a query as text of a ClickHouse format, in pieces of at most `size` bytes, as they come."""
        with self._client.raw_stream(query, settings=self._settings, fmt=form) as source:
            while piece := source.read(size):
                yield piece

    def insert_text(self, table: str, columns: Sequence[str], rows: bytes, form: str) -> None:
        """Inserts rows that are written in a ClickHouse format."""
        settings = self._settings | {"max_partitions_per_insert_block": 0}
        self._client.raw_insert(table, columns, rows, settings=settings, fmt=form)


def plain_client(settings: Settings, database: str | None = DATABASE, **options: Any) -> "Client":
    """The ordinary client, to be closed, without our settings: a server that is too old does not know them.

    `options` are further ones of the driver, such as its timeouts.
    """
    import clickhouse_connect

    return clickhouse_connect.get_client(
        dsn=settings.clickhouse_url,
        interface=urlsplit(settings.clickhouse_url).scheme,  # the driver would speak https to port 8443 alone
        ca_cert=os.environ.get("SSL_CERT_FILE"),
        database=database or "default",
        tz_mode="aware",  # naive ones would be taken for this machine's time
        autogenerate_session_id=False,  # sessions would serialise statements and cost a round trip
        **options,
    )


@contextmanager
def connect(
    settings: Settings, comment: str = "neonblue_pipeline", database: str | None = DATABASE, patience_s: int = 3600
) -> Iterator[ClickHouse]:
    """A client for the length of the block. `database` None: for the statement that creates it.

    `patience_s`: for how long a statement may say nothing.
    """
    client = plain_client(settings, database, send_receive_timeout=patience_s)
    try:
        yield ClickHouse(client, comment)
    finally:
        client.close()
