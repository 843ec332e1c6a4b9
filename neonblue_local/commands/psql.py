"""`neonblue psql`: SQL on the stack's PostgreSQL. The password goes through the environment: `ps` does not show it."""

import os
import shutil
from urllib.parse import unquote, urlsplit

import typer

from neonblue_local import environment
from neonblue_local.home import Home
from neonblue_local.parts.postgres import program


def psql(context: typer.Context) -> None:
    """Open psql on PostgreSQL, as its owner. What follows is for psql itself: the PATH's, else that of the wheel.

    neonblue psql

    neonblue psql -c "select pid, state, query from pg_stat_activity where state <> 'idle'"
    """
    url = environment.setting(Home.from_environment(), "NEONBLUE_POSTGRES_URL")
    parts = urlsplit(url)
    os.environ["PGPASSWORD"] = unquote(parts.password or "")
    without_password = url.replace(f":{parts.password}@", "@", 1)
    client = shutil.which("psql") or str(program("psql"))
    os.execv(client, [client, without_password, *context.args])  # noqa: S606
