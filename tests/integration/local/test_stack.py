"""Starting and stopping a stack: data, ports, orphans, broken parts. PostgreSQL, which starts fast, stands for all."""

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from tenacity import retry, stop_after_delay, wait_fixed

from neonblue_local import orphans
from neonblue_local.home import HOST, Home
from neonblue_local.parts import PARTS
from neonblue_local.supervision import Supervisor
from tests.fix_stack import Stack


def pid_of(stack: Stack, part: str) -> int:
    return Supervisor(stack.home).info(PARTS[part]).pid


def kill_supervisor(stack: Stack) -> None:
    process = psutil.Process(int((stack.home.run / "supervisord.pid").read_text()))
    process.kill()
    process.wait(timeout=10)


def write(stack: Stack, text: str) -> None:
    with psycopg.connect(stack.postgres_url) as connection:
        connection.execute("create table if not exists kept (line text)")
        connection.execute("insert into kept values (%s)", [text])


def lines(stack: Stack) -> list[str]:
    with psycopg.connect(stack.postgres_url) as connection:
        return [row[0] for row in connection.execute("select line from kept order by line").fetchall()]


def until(what: str, condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """PostgreSQL runs; a test that stops it starts it again."""
    made = Stack()
    try:
        made.up("postgres")
        yield made
    finally:
        made.remove()


def test_up_again_changes_nothing_that_runs(running: Stack) -> None:
    before = pid_of(running, "postgres")
    running.up("postgres")
    assert pid_of(running, "postgres") == before


def test_a_slot_can_be_kept_for_longer_without_a_restart(running: Stack) -> None:
    running.run("psql", "-c", "alter system set max_slot_wal_keep_size = '16GB'", "-c", "select pg_reload_conf()")

    @retry(stop=stop_after_delay(20), wait=wait_fixed(0.05), reraise=True)
    def is_raised() -> None:
        with psycopg.connect(running.postgres_url) as connection:
            assert connection.execute("show max_slot_wal_keep_size").fetchone() == ("16GB",)

    is_raised()


def test_stop_and_start_keep_data_and_passwords_and_leave_nothing_running(running: Stack) -> None:
    write(running, "before the stop")
    settings = running.settings
    running.down()
    assert orphans.find(running.home) == {}
    with socket.socket() as free:
        # Connections that were closed a moment ago may linger on the port; a listener may not.
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind((HOST, running.home.port("postgres")))
    assert "nothing runs" in running.down().stdout
    running.up("postgres")
    assert "before the stop" in lines(running)
    assert running.settings == settings


def test_a_part_that_is_killed_comes_back(running: Stack) -> None:
    before = pid_of(running, "postgres")
    os.kill(before, signal.SIGKILL)
    until("another process", lambda: pid_of(running, "postgres") not in (0, before))
    running.up("postgres")
    with psycopg.connect(running.postgres_url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_up_ends_what_a_killed_supervisor_left_and_says_so(running: Stack) -> None:
    write(running, "before the kill")
    orphan = psutil.Process(pid_of(running, "postgres"))
    kill_supervisor(running)
    assert orphan.is_running()
    said = running.up("postgres").stderr
    assert f"postgres ({orphan.pid}" in said
    assert "left over from a supervisor that was killed" in said
    assert pid_of(running, "postgres") != orphan.pid
    assert not orphan.is_running()
    assert "before the kill" in lines(running)


def test_down_ends_what_a_killed_supervisor_left(running: Stack) -> None:
    orphan = psutil.Process(pid_of(running, "postgres"))
    kill_supervisor(running)
    assert f"left-over processes: postgres ({orphan.pid}" in running.run("doctor", check=False).stdout
    running.down()
    assert not orphan.is_running()
    assert orphans.find(running.home) == {}
    running.up("postgres")


def test_two_stacks_stand_side_by_side(running: Stack, empty_stack: Stack) -> None:
    empty_stack.up("postgres")
    write(running, "mine")
    write(empty_stack, "theirs")
    assert lines(empty_stack) == ["theirs"]
    mine, theirs = (f":{stack.home.port('postgres')}/" for stack in (running, empty_stack))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(empty_stack.postgres_url.replace(theirs, mine))
    empty_stack.down()
    assert "mine" in lines(running)


def test_only_the_owner_reads_secrets_and_no_log_or_command_line_shows_them(running: Stack) -> None:
    assert stat.S_IMODE(running.home.env_file.stat().st_mode) == 0o600
    password = running.postgres_url.split(":")[2].split("@")[0]
    running.run("status", check=False)
    logs = [path.read_text(errors="replace") for path in running.home.log.iterdir()]
    commands = [" ".join(p.cmdline()) for found in orphans.find(running.home).values() for p in found]
    assert logs
    assert commands
    assert not [text for text in (*logs, *commands) if password in text or running.api_token in text]


def test_a_taken_port_is_named_with_the_part_and_a_way_out(empty_stack: Stack) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((HOST, empty_stack.home.port("postgres")))
        taken.listen()
        result = empty_stack.up("postgres", check=False)
    assert result.returncode == 1
    assert f"postgres: port {empty_stack.home.port('postgres')} is taken by process {os.getpid()}" in result.stderr
    assert "NEONBLUE_PORT_BASE=" in result.stderr


def test_a_part_that_cannot_start_is_named_with_its_log(empty_stack: Stack) -> None:
    result = empty_stack.up("kafka", check=False, NEONBLUE_JAVA="/bin/false")
    assert result.returncode == 1
    assert "kafka: its storage" in result.stderr
    assert str(empty_stack.home.log_file("kafka")) in result.stderr


def test_a_part_that_dies_while_starting_shows_the_end_of_its_log(empty_stack: Stack) -> None:
    empty_stack.up("postgres")
    empty_stack.down()
    (empty_stack.home.data("postgres") / "PG_VERSION").write_text("9\n")
    result = empty_stack.up("postgres", check=False)
    assert result.returncode == 1
    assert "postgres: ended while starting" in result.stderr
    assert "database files are incompatible with server" in result.stderr
    assert str(empty_stack.home.log_file("postgres")) in result.stderr


def test_a_part_that_cannot_be_started_at_all_says_why(empty_stack: Stack) -> None:
    log = empty_stack.home.log_file("clickhouse")
    log.mkdir(parents=True)
    result = empty_stack.up("clickhouse", check=False)
    assert result.returncode == 1
    assert "clickhouse: ended while starting" in result.stderr
    assert "EISDIR" in result.stderr
    log.rmdir()
    empty_stack.up("clickhouse")


def test_a_full_disk_is_said_before_anything_starts(empty_stack: Stack) -> None:
    result = empty_stack.up("postgres", check=False, NEONBLUE_MIN_FREE_GB="1000000")
    assert result.returncode == 1
    assert "GB free, 1e+06 GB are needed" in result.stderr
    assert not empty_stack.home.env_file.exists()


def test_a_state_folder_behind_a_closed_one_works_and_the_closed_one_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    made = Stack(closed)
    try:
        made.up("postgres")
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        # As root the server gave up root's rights; as a user it is that user.
        owner = psutil.Process(pid_of(made, "postgres")).uids().effective
        assert owner != 0
        assert owner == os.geteuid() or os.geteuid() == 0
    finally:
        made.remove()


def test_reset_deletes_everything_and_the_next_start_is_a_first_one(empty_stack: Stack) -> None:
    empty_stack.up("postgres")
    token = empty_stack.api_token
    empty_stack.run("reset", "--yes")
    assert not empty_stack.home.root.exists()
    empty_stack.up("postgres")
    assert empty_stack.api_token != token


def test_doctor_and_status_tell_a_program_what_is_wrong(running: Stack) -> None:
    doctor = running.run("doctor", "--json", check=False)
    findings = {finding["subject"]: finding for finding in json.loads(doctor.stdout)["findings"]}
    assert findings["jars"]["problem"] is None
    assert findings["postgres"]["problem"] is None
    assert "`neonblue up` starts it" in findings["kafka"]["problem"]
    assert doctor.returncode == 1
    status = running.run("status", "--json", check=False)
    stages = {stage["stage"]: stage for stage in json.loads(status.stdout)["stages"]}
    assert stages["Kafka Connect"]["ok"] is False
    assert status.returncode == 1


def test_a_second_command_does_not_meddle_with_the_first(running: Stack) -> None:
    with Home(running.home.root, running.home.port_base).lock():
        result = running.run("down", check=False)
    assert result.returncode == 1
    assert f"another command (process {os.getpid()})" in result.stderr
