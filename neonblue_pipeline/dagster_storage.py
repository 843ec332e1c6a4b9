"""Where Dagster keeps runs and events: dagster-postgres, with connections that are kept. Named in dagster.yaml."""

from collections.abc import Mapping
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import create_engine

# More may be open at once; so many stay. A run needs one, the daemon a few.
_KEPT = 3


class KeptConnections(DagsterPostgresStorage):
    """As DagsterPostgresStorage, which opens a connection for every statement.

    That were 15 a second, each with a process of PostgreSQL and an exchange of secrets. A kept connection is tried
    before it is used, as the server may have been started again meanwhile.
    """

    def __init__(self, postgres_url: str, **kwargs: Any) -> None:
        super().__init__(postgres_url, **kwargs)
        engine = create_engine(
            postgres_url, isolation_level="AUTOCOMMIT", pool_size=_KEPT, max_overflow=-1, pool_pre_ping=True
        )
        for part in (self._run_storage, self._event_log_storage, self._schedule_storage):
            part._engine = engine

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "KeptConnections":
        return cls(
            pg_url_from_config(config_value),
            inst_data=inst_data,
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
        )
