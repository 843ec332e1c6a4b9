"""Start, stop, kill and restart of the gateway process."""

import signal
import subprocess
import sys
import threading

import httpx
import pytest


def test_what_was_inserted_survives_kill_9(own_gateway):
    with own_gateway.http() as http:
        http.post("/", content="CREATE DATABASE kept").raise_for_status()
        http.post("/", content="CREATE TABLE kept.t (a UInt64) ENGINE = MergeTree ORDER BY a").raise_for_status()
        http.post("/", content="CREATE TABLE in_default (a UInt64) ENGINE = MergeTree ORDER BY a").raise_for_status()
        http.post("/", content="INSERT INTO kept.t SELECT number FROM numbers(100000)").raise_for_status()
        http.post("/", content="INSERT INTO in_default FORMAT CSV\n1\n2\n").raise_for_status()
    own_gateway.stop(signal.SIGKILL)
    own_gateway.restart()
    with own_gateway.http() as http:
        assert http.post("/", content="SELECT count(), sum(a) FROM kept.t").text == "100000\t4999950000\n"
        assert http.post("/", content="SELECT sum(a) FROM in_default").text == "3\n"
        http.post("/", content="DROP DATABASE kept SYNC").raise_for_status()


def test_sigterm_lets_requests_finish_and_ends_with_0(own_gateway):
    answers = []

    def ask() -> None:
        with own_gateway.http() as http:
            answers.append(http.post("/", content="SELECT sum(sleepEachRow(0.2)) + 7 FROM numbers(10)").text)

    with own_gateway.http() as http:
        thread = threading.Thread(target=ask)
        thread.start()
        while "sleepEachRow(0.2)" not in http.post("/", content="SELECT query FROM system.processes").text:
            assert thread.is_alive()
    assert own_gateway.stop() == 0
    thread.join()
    assert answers == ["7\n"]
    assert "stopped" in own_gateway.log()


def test_sigterm_ends_an_endless_query_and_detaches_the_tables(own_gateway):
    connection, ends = own_gateway.http(), []
    with own_gateway.http() as http:
        http.post("/", content="CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").raise_for_status()
        http.post("/", content="INSERT INTO t VALUES (1)").raise_for_status()
        thread = threading.Thread(target=_ask_in_vain, args=(connection, ends))
        thread.start()
        while "sipHash64(number" not in http.post("/", content="SELECT query FROM system.processes").text:
            assert thread.is_alive()
    assert own_gateway.stop() == 0
    thread.join()
    assert ends in (["cut"], ["500"])
    own_gateway.restart()
    with own_gateway.http() as http:
        assert http.post("/", content="SELECT a FROM t").text == "1\n"


def _ask_in_vain(connection: httpx.Client, ends: list[str]) -> None:
    try:
        sql = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
        ends.append(str(connection.post("/", content=sql).status_code))
    except httpx.TransportError:
        ends.append("cut")


def start(path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A start that must fail."""
    return subprocess.run(
        [sys.executable, "-m", "neonblue_local.clickhouse", "--path", str(path), "--port", "1"],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_second_process_on_the_same_folder_is_told_who_has_it(own_gateway):
    second = start(own_gateway.path, NEONBLUE_CLICKHOUSE_USER="u", NEONBLUE_CLICKHOUSE_PASSWORD="p")
    assert second.returncode == 2
    assert f"{own_gateway.path} is in use by process {own_gateway.process.pid}" in second.stderr
    assert httpx.get(f"{own_gateway.url}/ping").text == "Ok.\n"


@pytest.mark.parametrize("name", ["USER", "PASSWORD"])
def test_without_credentials_it_does_not_start(tmp_path, name):
    other = {"USER": "PASSWORD", "PASSWORD": "USER"}[name]
    failed = start(tmp_path / "engine", **{f"NEONBLUE_CLICKHOUSE_{other}": "x"})
    assert failed.returncode == 2
    assert f"NEONBLUE_CLICKHOUSE_{name}" in failed.stderr
    assert not (tmp_path / "engine").exists()


def test_a_port_that_cannot_be_had_is_a_start_error(tmp_path, gateway):
    taken = subprocess.run(
        [sys.executable, "-m", "neonblue_local.clickhouse", "--path", str(tmp_path / "e"), "--port", str(gateway.port)],
        env={"PATH": "/usr/bin:/bin", "NEONBLUE_CLICKHOUSE_USER": "u", "NEONBLUE_CLICKHOUSE_PASSWORD": "p"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert taken.returncode != 0
    assert "address already in use" in taken.stderr.lower()
    assert str(gateway.port) in taken.stderr
