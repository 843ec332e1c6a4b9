"""Settings and secrets of a stack: made at the first start, kept in neonblue.env (mode 0600), read by every command.

Secrets reach the parts through their environment only: never a command line, never a log.
"""

import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from neonblue_local.errors import NotRunning, SettingsError
from neonblue_local.home import Home

OWNER = "neonblue"
CLICKHOUSE_USER = "neonblue"


def read(home: Home) -> dict[str, str]:
    """What neonblue.env says; NotRunning when the stack was never started."""
    if not home.env_file.is_file():
        raise NotRunning(f"no stack in {home.root}: neonblue.env is not there; start one with `neonblue up`")
    lines = home.env_file.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def setting(home: Home, name: str) -> str:
    """A setting from the environment (a user's own servers), else from the stack's neonblue.env."""
    if value := os.environ.get(name):
        return value
    values = read(home)
    if name not in values:
        raise SettingsError(f"{home.env_file}: {name} is not there; write it in, or start afresh with `neonblue reset`")
    return values[name]


def create(home: Home) -> dict[str, str]:
    """Settings of this stack: known secrets are kept, missing ones made, addresses follow the port base."""
    known = read(home) if home.env_file.is_file() else {}
    if not known and home.data("postgres").exists():
        raise SettingsError(
            f"{home.env_file} is missing, but {home.data('postgres')} holds data whose password it held; put the file "
            "back, or delete all data with `neonblue reset`"
        )
    values = _values(
        home,
        postgres=_password(known.get("NEONBLUE_POSTGRES_URL")),
        clickhouse=_password(known.get("NEONBLUE_CLICKHOUSE_URL")),
        token=known.get("NEONBLUE_API_TOKEN") or secrets.token_urlsafe(32),
        privacy=_privacy_key(home, known),
        metrics_token=known.get("NEONBLUE_METRICS_TOKEN") or secrets.token_urlsafe(32),
    )
    # Lines that a user added stay.
    values = known | values
    if values != known:
        _write(home.env_file, "".join(f"{name}={value}\n" for name, value in values.items()))
    return values


def password(url: str) -> str:
    """The password inside a URL; empty if there is none."""
    return urlsplit(url).password or ""


def _values(
    home: Home, *, postgres: str, clickhouse: str, token: str, privacy: str, metrics_token: str
) -> dict[str, str]:
    owner = f"postgresql://{OWNER}:{postgres}@{home.address('postgres')}"
    return {
        "NEONBLUE_HOME": str(home.root),
        "NEONBLUE_PORT_BASE": str(home.port_base),
        "NEONBLUE_POSTGRES_URL": f"{owner}/experiments",
        # SQLAlchemy takes a plain postgresql:// for psycopg 3, whose parameters the NOTIFY of dagster-postgres does
        # not survive.
        "NEONBLUE_DAGSTER_POSTGRES_URL": f"{owner}/dagster".replace("postgresql:", "postgresql+psycopg2:", 1),
        "NEONBLUE_CLICKHOUSE_URL": f"http://{CLICKHOUSE_USER}:{clickhouse}@{home.address('clickhouse')}",
        # Connect looks the password up in its own environment: neither Kafka nor its REST interface has it.
        "NEONBLUE_CONNECT_POSTGRES_PASSWORD": "${env:NEONBLUE_POSTGRES_PASSWORD}",
        "NEONBLUE_KAFKA_BOOTSTRAP": home.address("kafka"),
        "NEONBLUE_CONNECT_URL": f"http://{home.address('connect')}",
        "NEONBLUE_API_URL": f"http://{home.address('api')}",
        "NEONBLUE_API_TOKEN": token,
        "NEONBLUE_PRIVACY_KEY": privacy,
        "NEONBLUE_METRICS_TOKEN": metrics_token,
        "NEONBLUE_EXPORTER_URL": f"http://{home.address('exporter')}",
        "NEONBLUE_DAGSTER_URL": f"http://{home.address('dagster-webserver')}",
        "DAGSTER_HOME": str(home.data("dagster")),
    }


def _privacy_key(home: Home, known: dict[str, str]) -> str:
    """The stack's own; of a new one the environment's, for a backup is restored with the key of then."""
    named, ours = os.environ.get("NEONBLUE_PRIVACY_KEY"), known.get("NEONBLUE_PRIVACY_KEY")
    if named and ours and named != ours:
        raise SettingsError(
            f"NEONBLUE_PRIVACY_KEY is one key in the environment and another in {home.env_file}; people are known by "
            "one only: unset it, or write it into the file"
        )
    return ours or named or secrets.token_urlsafe(32)


def _password(url: str | None) -> str:
    return password(url or "") or secrets.token_urlsafe(24)


def _write(path: Path, text: str) -> None:
    """Replace the file whole; nobody else can read it, not even while it is written."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
