"""The list of parts: what is started with what, what is stopped when, what stays out of command lines."""

from pathlib import Path

import pytest

from neonblue_local import environment
from neonblue_local.errors import SettingsError
from neonblue_local.home import Home
from neonblue_local.parts import PARTS, SETUP_NEEDS, STOP_ORDER, select
from neonblue_local.supervision import Supervisor


def test_every_part_is_stopped_once() -> None:
    assert sorted(name for names in STOP_ORDER for name in names) == sorted(PARTS)


def test_every_client_is_stopped_before_its_server() -> None:
    position = {name: number for number, names in enumerate(STOP_ORDER) for name in names}
    assert position["connect"] < position["kafka"]
    assert position["clickhouse"] < position["kafka"]
    assert position["api"] < position["postgres"]
    assert position["connect"] < position["postgres"]


def test_a_part_is_started_with_all_that_it_waits_for() -> None:
    assert [part.name for part in select(["connect"])] == ["kafka", "connect"]
    assert {part.name for part in select(["api"])} == {*SETUP_NEEDS, "api"}
    assert [part.name for part in select(None)] == list(PARTS)


def test_an_unknown_part_is_named_with_those_that_exist() -> None:
    with pytest.raises(SettingsError, match="'zookeeper' does not exist; the parts are postgres, kafka"):
        select(["zookeeper"])


def test_no_secret_is_on_a_command_line_or_in_the_configuration(tmp_path: Path) -> None:
    home = Home(tmp_path / "home with space %s", 17000)
    home.create()
    settings = _settings(tmp_path)
    secrets = [
        environment.password(settings["NEONBLUE_POSTGRES_URL"]),
        environment.password(settings["NEONBLUE_CLICKHOUSE_URL"]),
        settings["NEONBLUE_API_TOKEN"],
    ]
    for part in PARTS.values():
        if part.name != "postgres":
            part.prepare(home, settings)
    written = [path.read_text() for path in home.etc.iterdir()]
    written.append(Supervisor(home).configuration())
    assert all(len(secret) > 20 for secret in secrets)
    assert not [secret for secret in secrets for text in written if secret in text]


def _settings(folder: Path) -> dict[str, str]:
    home = Home(folder / "settings", 17000)
    home.create()
    return environment.create(home)
