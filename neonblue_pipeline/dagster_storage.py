"""Where Dagster keeps runs and events: dagster-postgres, with connections that are kept. Named in dagster.yaml."""

from collections.abc import Mapping
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config

# More may be open at once; so many stay. A run needs one, the daemon a few.
_KEPT = 3


class KeptConnections(DagsterPostgresStorage):
    """As DagsterPostgresStorage, which opens a connection for every statement.

    Those were 15 a second, each with a process of PostgreSQL and an exchange of secrets. A kept connection is tried
    before it is used, as the server may have been started again meanwhile.
    """

    # The parent names its own class here, whichever this is called on.
    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterPostgresStorage:
        storage = super().from_config_value(inst_data, config_value)  # type: ignore[arg-type]
        engine = create_pg_engine(
            storage.postgres_url,
            get_token_provider_from_config(config_value),
            isolation_level="AUTOCOMMIT",
            pool_size=_KEPT,
            max_overflow=-1,
            pool_pre_ping=True,
        )
        for part in (storage._run_storage, storage._event_log_storage, storage._schedule_storage):
            part._engine = engine
        return storage
