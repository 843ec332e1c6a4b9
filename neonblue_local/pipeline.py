"""What commands that work on the pipeline share: its settings from this stack, its errors as ours, times as typed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from neonblue_local import environment
from neonblue_local.errors import LocalError, NotRunning, SettingsError
from neonblue_local.home import Home
from neonblue_local.supervision import Supervisor

if TYPE_CHECKING:
    from neonblue_pipeline.settings import Settings


def is_embedded(home: Home) -> bool:
    """Whether commands work on the stack of this folder: no server is named, or the one that `neonblue env` prints."""
    named = os.environ.get("NEONBLUE_POSTGRES_URL")
    return named is None or (home.env_file.is_file() and named == environment.read(home).get("NEONBLUE_POSTGRES_URL"))


@contextmanager
def pipeline_settings() -> "Iterator[Settings]":
    """The pipeline's settings: the environment's, else those of this stack. Errors inside become LocalError."""
    import psycopg
    from clickhouse_connect.driver.exceptions import ClickHouseError
    from clickhouse_connect.driver.exceptions import OperationalError as ClickHouseAway
    from kafka.errors import KafkaError
    from urllib3.exceptions import HTTPError as StreamBroke

    from neonblue_pipeline.errors import PipelineError
    from neonblue_pipeline.settings import read_settings

    home = Home.from_environment()
    ours = environment.read(home) if home.env_file.is_file() else {}
    for name, value in ours.items():
        os.environ.setdefault(name, value)
    if "NEONBLUE_POSTGRES_URL" not in os.environ:
        raise NotRunning(
            f"no stack in {home.root}; start one with `neonblue up`, or name servers of your own by "
            "NEONBLUE_POSTGRES_URL and the other settings of docs/contracts.md"
        )
    try:
        yield read_settings()
    except PipelineError as error:
        raise LocalError(str(error)) from error
    except psycopg.errors.UndefinedTable as error:
        raise LocalError(f"PostgreSQL: {error.diag.message_primary}; `neonblue up` makes the tables") from error
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise LocalError(f"PostgreSQL: {error.diag.message_primary}. {error.diag.message_hint or ''}") from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise LocalError(
            f"PostgreSQL: {error.diag.message_primary}; `neonblue doctor --servers` tells whether a restore is not over"
        ) from error
    except (psycopg.OperationalError, OSError, KafkaError, ClickHouseAway, StreamBroke) as error:
        if isinstance(error, OSError) and error.filename:
            raise LocalError(f"{error.filename}: {error.strerror}") from error
        if is_embedded(home) and not Supervisor(home).is_running():
            raise NotRunning(f"nothing runs in {home.root}; `neonblue up` starts it") from error
        said = str(error).splitlines() or [type(error).__name__]
        raise NotRunning(f"a server does not answer: {said[0]}; `neonblue status` tells which") from error
    except ClickHouseError as error:
        raise LocalError(f"ClickHouse: {error}; if a table is missing, `neonblue recover` makes it again") from error


def moment(text: str | None, option: str) -> datetime | None:
    """A time as typed, in UTC where it names no zone. Raises SettingsError."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{option} {text!r} is no time; write it as 2026-01-31T10:00 (UTC)") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
