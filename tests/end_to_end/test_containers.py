"""What docker/compose.yaml starts, tried on the real servers of the embedded stack: health checks and entry commands.

No container engine is needed: a command of compose.yaml runs in this environment, with the servers' names replaced by
their addresses and the secrets of the stack as files.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from neonblue_local import environment
from neonblue_local.home import PROJECT
from neonblue_local.parts import postgres
from tests.fix_compose import check, services
from tests.fix_stack import Stack

SERVICES = services()
BIN = Path(sys.executable).parent
# The name and port of each server in a container → the part of the embedded stack.
SERVERS = {
    "postgres:5432": "postgres",
    "kafka:9092": "kafka",
    "connect:8083": "connect",
    "clickhouse:8123": "clickhouse",
    "api:8000": "api",
    "dagster-webserver:3000": "dagster-webserver",
    "dagster-code:4000": "dagster-code",
    "exporter:8001": "exporter",
}


class NotYet(Exception):
    pass


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _check_of(name: str, address: str) -> list[str]:
    """The health check of a service, as it asks a server at this address."""
    host, _, port = address.partition(":")
    words = check(SERVICES[name])
    program = words[0]
    if program == "pg_isready":
        return [str(postgres.program(program)), *_set(words[1:], {"-h": host}), "-p", port]
    if program == "bash":
        return [*words[:-1], words[-1].replace("/kafka/9092", f"/{host}/{port}")]
    if program == "dagster":
        return [str(BIN / program), *_set(words[1:], {"--port": port})]
    words = [re.sub(r"http://[\w.-]+:\d+/", f"http://{address}/", word) for word in words]
    return [sys.executable, *words[1:]] if program == "python" else [shutil.which(program) or program, *words[1:]]


def _set(words: list[str], values: Mapping[str, str]) -> list[str]:
    """The words with the value behind each of these options replaced; each option must be there, or is not asked."""
    return [values.get(words[place - 1], word) if place else word for place, word in enumerate(words)]


def _asked(name: str, address: str, stack: Stack, folder: Path) -> "subprocess.CompletedProcess[str]":
    """The health check of a service as the engine runs it: past the image's entry, so that no secret is filled in."""
    return subprocess.run(
        _check_of(name, address),
        cwd=PROJECT,
        env=_settings_in_a_container(name, stack, folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


ASKABLE = ["postgres", "kafka", "connect", "clickhouse", "api", "dagster-webserver", "exporter"]
# Dagster's own commands take many seconds to start.
SLOW = ["dagster-code"]


@pytest.mark.parametrize("name", [*ASKABLE, *(pytest.param(name, marks=pytest.mark.nightly) for name in SLOW)])
def test_a_health_check_is_green_on_the_real_server_and_red_where_there_is_none(
    stack: Stack, name: str, tmp_path: Path
) -> None:
    if check(SERVICES[name])[0] == "wget" and not shutil.which("wget"):
        pytest.skip("no program `wget` on PATH, which the image of ClickHouse has")
    well = _asked(name, stack.home.address(name), stack, tmp_path)
    assert well.returncode == 0, well.stdout + well.stderr
    assert _asked(name, f"127.0.0.1:{_closed_port()}", stack, tmp_path).returncode != 0


@pytest.mark.nightly
def test_the_health_check_of_the_daemon_is_green_on_a_running_one(stack: Stack, tmp_path: Path) -> None:
    found = _asked("dagster-daemon", "", stack, tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_service_of_ours_has_its_health_check_tried() -> None:
    not_here = {"redis", "prometheus", "grafana", "kafka-ui"}  # no server of theirs is in the embedded stack
    assert {*ASKABLE, *SLOW, "dagster-daemon"} | not_here == {
        name for name in SERVICES if "healthcheck" in SERVICES[name]
    }


def _settings_in_a_container(name: str, stack: Stack, folder: Path) -> dict[str, str]:
    """The environment of a service, with the servers of this stack and its secrets as files in `folder`."""
    settings = stack.settings
    secrets = {
        "postgres_password": environment.password(settings["NEONBLUE_POSTGRES_URL"]),
        "clickhouse_password": environment.password(settings["NEONBLUE_CLICKHOUSE_URL"]),
        "redis_password": "nobody-asks-for-it",
        "api_token": settings["NEONBLUE_API_TOKEN"],
        "metrics_token": settings["NEONBLUE_METRICS_TOKEN"],
        "privacy_key": settings["NEONBLUE_PRIVACY_KEY"],
        "alarm_urls": "",
    }
    for secret, value in secrets.items():
        (folder / secret).write_text(f"{value}\n")
    found = {
        "NEONBLUE_SECRETS": str(folder),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(folder),
        "DAGSTER_HOME": settings["DAGSTER_HOME"],
    }
    for variable, value in SERVICES[name].get("environment", {}).items():
        for there, part in SERVERS.items():
            value = str(value).replace(there, stack.home.address(part))
        found[variable] = value
    found.pop("NEONBLUE_REDIS_URL", None)  # no Redis is in the embedded stack
    return found


@contextmanager
def _started(name: str, stack: Stack, folder: Path, port: int, **more: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The command of a service as a process of this machine, on another port."""
    command = SERVICES[name]["command"]
    assert command[0] not in ("sh", "bash")
    own = re.compile(r"^(3000|4000|8000|8001)$")
    words = [str(port) if own.match(word) else word.replace("0.0.0.0", "127.0.0.1") for word in command]
    words = _set(words, {"--workers": "2"})  # as many as there are cores to test on
    environment_ = _settings_in_a_container(name, stack, folder) | more
    process = subprocess.Popen([sys.executable, "docker/entry.py", *words], cwd=PROJECT, env=environment_)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _await_health(name: str, stack: Stack, folder: Path, port: int, process: "subprocess.Popen[bytes]") -> None:
    @retry(retry=retry_if_exception_type(NotYet), stop=stop_after_delay(120), wait=wait_fixed(0.5), reraise=True)
    def healthy() -> None:
        assert process.poll() is None, f"the command of {name} ended with {process.returncode}"
        found = _asked(name, f"127.0.0.1:{port}", stack, folder)
        if found.returncode:
            raise NotYet(found.stdout + found.stderr)

    healthy()


def test_the_api_of_the_container_starts_becomes_healthy_and_counts_as_one(stack: Stack, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    counts.mkdir()
    port = _closed_port()
    with _started("api", stack, tmp_path, port, PROMETHEUS_MULTIPROC_DIR=str(counts)) as process:
        _await_health("api", stack, tmp_path, port, process)
        token = {"Authorization": f"Bearer {stack.settings['NEONBLUE_METRICS_TOKEN']}"}

        @retry(retry=retry_if_exception_type(NotYet), stop=stop_after_delay(60), wait=wait_fixed(0.5), reraise=True)
        def all_of_them_count() -> None:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", headers=token, trust_env=False).text
            found = re.search(r"^neonblue_api_pool_connections_limit (\S+)$", text, re.MULTILINE)
            if found is None or float(found[1]) != 2 * 10:
                raise NotYet(f"2 processes may hold 20 connections, not {found and found[1]}")

        all_of_them_count()


def test_the_exporter_of_the_container_starts_and_becomes_healthy(stack: Stack, tmp_path: Path) -> None:
    port = _closed_port()
    with _started("exporter", stack, tmp_path, port) as process:
        _await_health("exporter", stack, tmp_path, port, process)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["dagster-code", "dagster-webserver"])
def test_dagster_of_the_container_starts_and_becomes_healthy(stack: Stack, tmp_path: Path, name: str) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(PROJECT / "dagster.yaml")
    port = _closed_port()
    workspace = tmp_path / "workspace.yaml"
    text = (PROJECT / "docker" / "workspace.yaml").read_text()
    host, _, code = stack.home.address("dagster-code").partition(":")
    workspace.write_text(text.replace("host: dagster-code, port: 4000", f"host: {host}, port: {code}"))
    command = SERVICES[name]["command"]
    command[:] = [str(workspace) if word == "docker/workspace.yaml" else word for word in command]
    with _started(name, stack, tmp_path, port, DAGSTER_HOME=str(home)) as process:
        _await_health(name, stack, tmp_path, port, process)


@pytest.mark.nightly
def test_the_setup_of_the_container_finds_a_platform_that_is_set_up(stack: Stack, tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(PROJECT / "dagster.yaml")
    with _started("setup", stack, tmp_path, 0, DAGSTER_HOME=str(home)) as process:
        assert process.wait(240) == 0


def test_connect_of_the_container_is_given_its_jars_and_a_whole_configuration(stack: Stack, tmp_path: Path) -> None:
    """The command becomes a program that shows its arguments in the place of the JVM: a second worker would take the
    connector away from the stack's."""
    show = tmp_path / "java"
    show.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    show.chmod(0o755)
    variables = _settings_in_a_container("connect", stack, tmp_path)
    variables |= {"NEONBLUE_JAVA": str(show), "HOSTNAME": "connect", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "docker/entry.py", *SERVICES["connect"]["command"]]
    found = subprocess.run(command, cwd=PROJECT, env=variables, capture_output=True, text=True, check=True)
    *options, _, jars, main, configuration = found.stdout.splitlines()
    assert {"-Xmx700m", "-XX:+ExitOnOutOfMemoryError"} <= set(options)
    assert (tmp_path / "log4j2.properties").is_file()
    assert f"-Dlog4j2.configurationFile={tmp_path}/log4j2.properties" in options
    assert [jar for jar in jars.split(":") if not Path(jar).is_file()] == []
    assert main == "org.apache.kafka.connect.cli.ConnectDistributed"
    told = Path(configuration).read_text()
    assert f"bootstrap.servers={stack.kafka_bootstrap}\n" in told
    assert "listeners=http://connect:8083\n" in told
    # The password comes by the environment, which the configuration may name.
    assert environment.password(stack.postgres_url) not in told + found.stdout
