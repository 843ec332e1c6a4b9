"""The supervisor of a stack: one supervisord per state folder, spoken to over its unix socket.

It starts nothing by itself (autostart=false): the order and the waiting are stack.py's. It keeps what was started
running (restart after a crash), and keeps and rotates the log files.
"""

import http.client
import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from neonblue_local.errors import PartFailed
from neonblue_local.home import Home
from neonblue_local.parts import PARTS, Part

_LOG_BYTES = "20MB"
_START_SECONDS = 20
RUNNING_STATES = ("STARTING", "RUNNING")


@dataclass(frozen=True)
class ProcessInfo:
    """What the supervisor says of one part; `started` is a unix time, 0 if it never was; `spawn_error` is empty or
    why the last try to start it came to nothing."""

    state: str
    pid: int
    started: int
    exit_status: int
    spawn_error: str

    @property
    def is_up(self) -> bool:
        return self.state in RUNNING_STATES

    @property
    def ended_cleanly(self) -> bool:
        """It ended by itself when asked to; a JVM then says 143 (128 + SIGTERM)."""
        return self.state == "STOPPED" and self.exit_status in (0, 128 + signal.SIGTERM)


class Supervisor:
    """The supervisor of one state folder, running or not."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._configuration = home.run / "supervisord.conf"
        self._pid_file = home.run / "supervisord.pid"

    def is_running(self) -> bool:
        if not self.home.socket.exists():
            return False
        try:
            self._call("getState")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def start(self, settings: Mapping[str, str]) -> None:
        """Start supervisord with the settings as its environment, which its children inherit."""
        self._configuration.write_text(self.configuration())
        environment = {**os.environ, **settings, "NEONBLUE_PART": "supervisord", "PYTHONUNBUFFERED": "1"}
        for part in PARTS.values():
            environment.update(part.environment(self.home, settings))
        self.home.socket.unlink(missing_ok=True)
        result = subprocess.run(  # noqa: S603  (our own program and arguments)
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._configuration)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_running():
            if result.returncode or time.monotonic() > deadline:
                raise PartFailed(
                    f"supervisord: did not start ({result.stdout.strip()[-500:] or 'no output'}); its log is "
                    f"{self.home.log_file('supervisord')}. Repair what it names, then `neonblue up` again"
                )
            time.sleep(0.02)

    def configuration(self) -> str:
        """supervisord.conf. No secrets are in it: they come by supervisord's own environment."""
        home = self.home
        sections = [
            "[supervisord]",
            f"logfile={_escape(str(home.log_file('supervisord')))}",
            "logfile_maxbytes=5MB",
            "logfile_backups=1",
            f"pidfile={_escape(str(self._pid_file))}",
            f"directory={_escape(str(home.root))}",
            f"childlogdir={_escape(str(home.log))}",
            "minfds=1024",
            "umask=077",
            *(["user=root"] if os.geteuid() == 0 else []),
            "",
            "[unix_http_server]",
            f"file={_escape(str(home.socket))}",
            "chmod=0600",
            "",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
        ]
        for part in PARTS.values():
            sections += [
                "",
                f"[program:{part.name}]",
                f"command={_escape(shlex.join([*_nice(part), *part.command(home)]))}",
                f'environment=NEONBLUE_PART="{part.name}"',
                "autostart=false",
                "autorestart=true",
                "startsecs=1",
                "startretries=100",
                f"stopsignal={part.stop_signal}",
                f"stopwaitsecs={part.seconds_to_stop()}",
                f"stopasgroup={str(part.stop_group).lower()}",
                "killasgroup=true",
                "redirect_stderr=true",
                f"stdout_logfile={_escape(str(home.log_file(part.name)))}",
                f"stdout_logfile_maxbytes={_LOG_BYTES}",
                "stdout_logfile_backups=2",
            ]
        return "\n".join(sections) + "\n"

    def is_current(self) -> bool:
        """Whether the running supervisor was started with today's configuration."""

        def essence(text: str) -> list[str]:
            # How long a stop may take is longer until the JVMs' class-data caches are written.
            return [line for line in text.splitlines() if not line.startswith("stopwaitsecs=")]

        if not self._configuration.is_file():
            return False
        return essence(self._configuration.read_text()) == essence(self.configuration())

    def info(self, part: Part) -> ProcessInfo:
        return _process_info(self._call("getProcessInfo", part.name))

    def infos(self) -> dict[str, ProcessInfo]:
        return {row["name"]: _process_info(row) for row in self._call("getAllProcessInfo")}

    def start_part(self, part: Part) -> None:
        """Start the process; returns at once, also if it could not be started or has ended already: ask `info`."""
        try:
            self._call("startProcess", part.name, False)
        except xmlrpc.client.Fault as fault:
            # A process that ends before the call returns is a spawn error. One that ended is tried again by the
            # supervisor, which may be faster than this call.
            if fault.faultCode not in (Faults.SPAWN_ERROR, Faults.ALREADY_STARTED):
                raise

    def stop_part(self, part: Part) -> None:
        """Stop the process and wait for its end; after its `stop_seconds` it is killed."""
        try:
            self._call("stopProcess", part.name, True)
        except xmlrpc.client.Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise

    def shutdown(self) -> None:
        """End supervisord, and with it whatever it still runs; returns when it is gone."""
        pid = int(self._call("getPID"))
        process = psutil.Process(pid)
        self._call("shutdown")
        process.wait(timeout=90)

    def _call(self, method: str, *arguments: Any) -> Any:
        # A connection a call: the library's transport is not made for several threads.
        transport = SupervisorTransport(None, None, f"unix://{self.home.socket}")
        try:
            proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        finally:
            transport.close()


def _process_info(row: dict[str, Any]) -> ProcessInfo:
    return ProcessInfo(row["statename"], row["pid"], row["start"], row["exitstatus"], row["spawnerr"])


def _nice(part: Part) -> list[str]:
    return ["nice", "-n", str(part.niceness)] if part.niceness else []


def _escape(value: str) -> str:
    """Supervisor expands %(name)s in its configuration."""
    return value.replace("%", "%%")
