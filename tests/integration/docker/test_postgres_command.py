"""The command of the container `postgres` on a real server: what it sets, and what may be changed while it runs."""

import psycopg
from tenacity import retry, stop_after_delay, wait_fixed

from tests.fix_compose import mounts, services
from tests.fix_postgres import SUPERUSER, own_postgres


def _shown(connection: psycopg.Connection, name: str) -> str:
    return connection.execute("select current_setting(%s)", (name,)).fetchone()[0]


def test_a_slot_can_be_kept_for_longer_without_a_restart() -> None:
    service = services()["postgres"]
    program, configuration, *options = service["command"]
    assert program == "postgres"
    sources = {f"-cconfig_file={place}": source for source, place in mounts(service)}
    with (
        own_postgres(configuration=sources[configuration], options=options) as server,
        psycopg.connect(server.url(SUPERUSER), autocommit=True) as connection,
    ):
        assert _shown(connection, "wal_level") == "logical"
        assert _shown(connection, "max_connections") == "200"
        assert _shown(connection, "max_slot_wal_keep_size") == "8GB"
        connection.execute("alter system set max_slot_wal_keep_size = '16GB'")
        connection.execute("select pg_reload_conf()")

        @retry(stop=stop_after_delay(20), wait=wait_fixed(0.05), reraise=True)
        def is_raised() -> None:
            assert _shown(connection, "max_slot_wal_keep_size") == "16GB"

        is_raised()
