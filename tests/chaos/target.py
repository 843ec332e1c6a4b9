"""A running stack, as one who breaks it sees it; everything that is stopped here goes on or ends in any case."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import psutil
import psycopg

from neonblue_local.parts import PARTS
from neonblue_local.supervision import Supervisor
from neonblue_pipeline.settings import Settings, psycopg_url
from tests.chaos.load import Load
from tests.fix_stack import Stack


class Target:
    """One stack, and the load that runs on it while faults strike.

    `pace`: how long stops, outages, open transactions and silences last, as a share of their full length.
    """

    def __init__(self, stack: Stack, load: Load | None = None, pace: float = 1) -> None:
        self.stack = stack
        self.load = load
        self.pace = pace
        names = ("postgres_url", "clickhouse_url", "kafka_bootstrap", "connect_url", "api_url", "api_token")
        self.settings = Settings.model_validate({name: stack.settings[f"NEONBLUE_{name.upper()}"] for name in names})

    def pid(self, part: str) -> int:
        return Supervisor(self.stack.home).info(PARTS[part]).pid

    def processes(self, part: str) -> list[psutil.Process]:
        """The part's process and all that it started; none where it is just being started again."""
        with suppress(psutil.NoSuchProcess):
            if pid := self.pid(part):
                process = psutil.Process(pid)
                return [process, *process.children(recursive=True)]
        return []

    def kill(self, part: str) -> None:
        pid = self.pid(part)
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def everything(self) -> list[psutil.Process]:
        """The supervisor and every process of the stack."""
        supervisor = psutil.Process(int((self.stack.home.run / "supervisord.pid").read_text()))
        return [supervisor, *supervisor.children(recursive=True)]

    def wait(self, seconds: float) -> None:
        time.sleep(seconds * self.pace)

    @contextmanager
    def down(self, part: str) -> Iterator[None]:
        """Stopped in order, and started again however the block ends."""
        supervisor = Supervisor(self.stack.home)
        supervisor.stop_part(PARTS[part])
        try:
            yield
        finally:
            supervisor.start_part(PARTS[part])

    def await_run(self, seconds: float) -> None:
        """Returns when a run of Dagster is at work, or after so long."""
        url = psycopg_url(self.stack.settings["NEONBLUE_DAGSTER_POSTGRES_URL"])
        deadline = time.monotonic() + seconds
        with psycopg.connect(url, autocommit=True) as dagster:
            while not dagster.execute("select true from runs where status = 'STARTED' limit 1").fetchone():
                if time.monotonic() > deadline:
                    return
                time.sleep(0.1)

    def postgres(self) -> "psycopg.Connection":
        return psycopg.connect(self.settings.postgres_url, autocommit=True, connect_timeout=5)

    def connect(self) -> httpx.Client:
        return httpx.Client(base_url=self.settings.connect_url, timeout=30, trust_env=False)

    def sweep(self) -> None:
        """Kills what is left of the stack after its end: a stopped orphan would stay for ever.

        PostgreSQL's processes write over their environment; the folder that they work in tells whose they are.
        """
        left = [process for process in psutil.process_iter() if self._is_ours(process)]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)

    def _is_ours(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error, OSError):
            return process.pid != os.getpid() and process.cwd().startswith(str(self.stack.home.root))
        return False


@contextmanager
def frozen(processes: list[psutil.Process]) -> Iterator[None]:
    """They stand still inside the block, and go on after it, however it ends; those that ended are passed by."""
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()
