"""State folder, ports, settings file: what holds before anything runs."""

import stat
from pathlib import Path

import pytest

from neonblue_local import environment
from neonblue_local.errors import DiskFull, NotRunning, SettingsError
from neonblue_local.home import PORTS, Home
from neonblue_local.parts import PARTS


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("NEONBLUE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NEONBLUE_PORT_BASE", raising=False)
    monkeypatch.delenv("NEONBLUE_PRIVACY_KEY", raising=False)
    made = Home.from_environment()
    made.create()
    return made


def test_every_port_has_an_offset_of_its_own() -> None:
    assert len(set(PORTS.values())) == len(PORTS)
    assert {name for part in PARTS.values() for name in part.ports} == set(PORTS)


@pytest.mark.parametrize("base", ["80", "65530", "demo", "-1", "17000.5"])
def test_a_port_base_that_cannot_hold_the_stack_is_refused(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEONBLUE_PORT_BASE", base)
    with pytest.raises(SettingsError, match=f"NEONBLUE_PORT_BASE: '{base}'"):
        Home.from_environment()


def test_a_folder_that_the_supervisor_cannot_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEONBLUE_HOME", "/tmp/a;b")
    with pytest.raises(SettingsError, match="contains ';'"):
        Home.from_environment()


def test_a_stack_keeps_the_port_base_that_it_was_made_with(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.create(Home(home.root, 21000))
    assert Home.from_environment().port_base == 21000
    monkeypatch.setenv("NEONBLUE_PORT_BASE", "22000")
    assert Home.from_environment().port_base == 22000


def test_the_socket_of_a_long_path_lies_elsewhere_and_fits(tmp_path: Path) -> None:
    short, long = Home(Path("/srv/neonblue"), 17000), Home(tmp_path / ("x" * 120), 17000)
    assert short.socket == Path("/srv/neonblue/run/supervisor.sock")
    assert len(str(long.socket)) <= 100
    assert long.socket != Home(tmp_path / ("y" * 120), 17000).socket


def test_only_the_owner_can_read_the_settings(home: Home) -> None:
    environment.create(home)
    assert stat.S_IMODE(home.env_file.stat().st_mode) == 0o600


def test_a_new_stack_takes_the_key_of_people_from_the_environment_and_one_that_has_a_key_refuses_another(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEONBLUE_PRIVACY_KEY", "k" * 43)
    assert environment.create(home)["NEONBLUE_PRIVACY_KEY"] == "k" * 43
    monkeypatch.setenv("NEONBLUE_PRIVACY_KEY", "m" * 43)
    with pytest.raises(SettingsError, match="NEONBLUE_PRIVACY_KEY is one key in the environment and another in"):
        environment.create(home)
    monkeypatch.delenv("NEONBLUE_PRIVACY_KEY")
    assert environment.create(home)["NEONBLUE_PRIVACY_KEY"] == "k" * 43


def test_secrets_survive_a_move_to_other_ports_and_lines_of_the_user_stay(home: Home) -> None:
    first = environment.create(home)
    with home.env_file.open("a") as file:
        file.write("MY_OWN=1\n")
    moved = environment.create(Home(home.root, home.port_base + 100))
    assert moved["MY_OWN"] == "1"
    assert moved["NEONBLUE_API_TOKEN"] == first["NEONBLUE_API_TOKEN"]
    assert environment.password(moved["NEONBLUE_POSTGRES_URL"]) == environment.password(first["NEONBLUE_POSTGRES_URL"])
    assert moved["NEONBLUE_API_URL"].endswith(str(home.port_base + 100))
    assert environment.read(home) == moved


def test_two_stacks_share_no_secret(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other", home.port_base)
    other.create()
    mine, theirs = environment.create(home), environment.create(other)
    for name in ("NEONBLUE_POSTGRES_URL", "NEONBLUE_CLICKHOUSE_URL", "NEONBLUE_API_TOKEN"):
        assert mine[name] != theirs[name]


def test_data_whose_password_is_lost_is_not_taken_for_a_new_stack(home: Home) -> None:
    home.data("postgres").mkdir()
    with pytest.raises(SettingsError, match="is missing, but"):
        environment.create(home)


def test_a_setting_comes_from_the_environment_before_the_stack(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEONBLUE_API_URL", raising=False)
    with pytest.raises(NotRunning, match="neonblue up"):
        environment.setting(home, "NEONBLUE_API_URL")
    environment.create(home)
    assert environment.setting(home, "NEONBLUE_API_URL") == f"http://127.0.0.1:{home.port_base}"
    monkeypatch.setenv("NEONBLUE_API_URL", "https://api.example.org")
    assert environment.setting(home, "NEONBLUE_API_URL") == "https://api.example.org"


def test_too_little_free_space_is_said_before_anything_starts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.check_space()
    monkeypatch.setenv("NEONBLUE_MIN_FREE_GB", "1e9")
    with pytest.raises(DiskFull, match="GB free, 1e\\+09 GB are needed"):
        home.check_space()
