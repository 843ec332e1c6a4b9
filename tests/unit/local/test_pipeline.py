"""Which stack a command of the pipeline works on, and how what breaks under it is told."""

from pathlib import Path

import psycopg
import pytest
from urllib3.exceptions import ProtocolError

from neonblue_local import environment
from neonblue_local.errors import LocalError, NotRunning
from neonblue_local.home import Home
from neonblue_local.pipeline import is_embedded, pipeline_settings

OWN_SERVER = "postgresql://neonblue:secret@db.example.org/experiments"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A stack that was started once, and a shell that names nothing but its folder."""
    home = Home(tmp_path / "stack", 21000)
    home.create()
    for name in environment.create(home):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NEONBLUE_HOME", str(home.root))
    return home


def as_printed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after eval "$(neonblue env)"."""
    for name, value in environment.read(home).items():
        monkeypatch.setenv(name, value)


def test_a_stack_is_embedded_in_a_shell_that_knows_its_settings_too(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_embedded(home)
    as_printed(home, monkeypatch)
    assert is_embedded(home)
    monkeypatch.setenv("NEONBLUE_POSTGRES_URL", OWN_SERVER)
    assert not is_embedded(home)


def test_a_server_that_is_named_where_no_stack_is_was_never_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "none", 21000)
    monkeypatch.delenv("NEONBLUE_POSTGRES_URL", raising=False)
    assert is_embedded(home)
    monkeypatch.setenv("NEONBLUE_POSTGRES_URL", OWN_SERVER)
    assert not is_embedded(home)


def test_a_stream_of_clickhouse_that_breaks_is_a_server_that_does_not_answer(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_printed(home, monkeypatch)
    monkeypatch.setenv("NEONBLUE_POSTGRES_URL", OWN_SERVER)
    with pytest.raises(NotRunning, match=r"does not answer: .*Connection broken"), pipeline_settings():
        raise ProtocolError("Connection broken: IncompleteRead(10 bytes read)")


def test_what_may_not_be_written_is_told_with_where_to_look(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    as_printed(home, monkeypatch)
    with pytest.raises(LocalError, match="doctor --servers` tells whether a restore is not over"), pipeline_settings():
        raise psycopg.errors.ReadOnlySqlTransaction("cannot execute UPDATE in a read-only transaction")
