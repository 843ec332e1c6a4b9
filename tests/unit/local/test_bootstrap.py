"""What setup says of a machine before it installs anything."""

import platform
import shutil
import sys

import pytest

from neonblue_local import bootstrap


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The programs that are on the PATH: name → path."""
    there = {"make": "/bin/make", "git": "/bin/git"}
    monkeypatch.setattr(shutil, "which", there.get)
    return there


@pytest.mark.parametrize("called", [(3, 11, 2), (3, 14, 0)])
def test_the_python_that_was_called_is_taken_if_it_fits(
    called: tuple[int, int, int], on_path: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path["python3.13"] = "/bin/python3.13"
    monkeypatch.setattr(sys, "version_info", called)
    assert bootstrap.fitting_python() == sys.executable


@pytest.mark.parametrize("called", [(3, 6, 15), (3, 10, 13), (3, 15, 2)])
def test_one_that_fits_is_taken_instead_of_one_that_does_not(
    called: tuple[int, int, int], on_path: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path |= {"python3.11": "/bin/python3.11", "python3.13": "/opt/python3.13"}
    monkeypatch.setattr(sys, "version_info", called)
    assert bootstrap.fitting_python() == "/opt/python3.13"


@pytest.mark.usefixtures("on_path")
def test_a_python_that_is_too_old_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.13")
    with pytest.raises(
        bootstrap.SetupError, match=r"python3 is 3\.10\.13; NeonBlue needs Python 3\.11 or newer.*make PYTHON="
    ):
        bootstrap.fitting_python()


@pytest.mark.usefixtures("on_path")
def test_a_python_that_is_too_new_is_taken_for_want_of_another_and_said_to_compile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 15, 2))
    assert bootstrap.fitting_python() == sys.executable
    assert capsys.readouterr().out == ""  # every make command asks; only one that installs tells
    bootstrap.tell_of_compiling(sys.executable)
    assert "needs a C compiler" in capsys.readouterr().out


@pytest.mark.usefixtures("on_path")
@pytest.mark.parametrize(
    ("system", "processor", "library", "told"),
    [
        ("linux", "x86_64", ("glibc", "2.28"), "glibc: 2.28; the packages need 2.34"),
        ("linux", "x86_64", ("", ""), "C library: not glibc"),
        ("linux", "riscv64", ("glibc", "2.41"), "processor: riscv64; the packages exist for x86_64 and aarch64 here"),
        ("darwin", "x86_64", ("", ""), "processor: x86_64; the packages exist for arm64 here"),
        ("win32", "AMD64", ("", ""), "operating system: win32"),
    ],
)
def test_a_machine_that_cannot_run_it_is_told_why(
    system: str, processor: str, library: tuple[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on(monkeypatch, system, processor, library)
    with pytest.raises(bootstrap.SetupError, match=told):
        bootstrap.check_machine()


@pytest.mark.usefixtures("on_path")
@pytest.mark.parametrize(
    ("system", "processor", "library"),
    [("linux", "x86_64", ("glibc", "2.34")), ("linux", "aarch64", ("glibc", "2.41")), ("darwin", "arm64", ("", ""))],
)
def test_a_machine_that_can_is_let_pass(
    system: str, processor: str, library: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on(monkeypatch, system, processor, library)
    bootstrap.check_machine()


def test_all_that_is_missing_is_said_at_once(on_path: dict[str, str]) -> None:
    on_path.clear()
    with pytest.raises(bootstrap.SetupError, match=r"make: not on the PATH[^\0]*git: not on the PATH"):
        bootstrap.check_machine()


def put_on(monkeypatch: pytest.MonkeyPatch, system: str, processor: str, library: tuple[str, str]) -> None:
    """As if this were such a machine."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: processor)
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
