"""The stack under measurement, as the parts of the benchmark see it: its servers, its processes, its stream."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import httpx
import psutil
import psycopg

from bench.client import Target
from bench.feeds import assignment_batches
from neonblue_local.parts import PARTS
from neonblue_local.supervision import Supervisor
from neonblue_pipeline import clickhouse as clickhouse_client
from neonblue_pipeline import connector
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.settings import CONNECTOR, Settings, psycopg_url
from tests.fix_stack import Stack

EXPERIMENT = "bench"
_ARRIVAL_S, _RUNS_END_S, _VIEWS_S = 600, 300, 15
# What the load of the analytic parts replaces; landing, the ledger and the topic stay.
_ANALYTIC = (
    *("events_rows", "assignments_rows", "variant_sightings", "experiments_rows", "dirty_days", "dirty_assignments"),
    *("user_rollup", "user_days", "hourly_metrics", "daily_metrics", "user_journeys", "experiment_summary"),
    *("rolled_definitions", "experiment_results_rows", "experiment_quality_rows", "experiment_segments_rows"),
    *("experiment_dimensions_rows", "changed_experiments"),
)
_LANDED = "select uniqExact(outbox_id) from landing_rows where created_at < {until:DateTime64(6, 'UTC')}"
_FOUND = "select count(), uniqExact(id) from events_processed where created_at < {until:DateTime64(6, 'UTC')}"
_T = TypeVar("_T")


class BenchError(Exception):
    """What was measured is not what should have been."""


class Rig:
    """One running stack, whose data is worth nothing: parts may truncate and pause what they like."""

    def __init__(self, stack: Stack, *, quick: bool) -> None:
        self.stack, self.quick = stack, quick
        names = ("postgres_url", "clickhouse_url", "kafka_bootstrap", "connect_url", "api_url", "api_token")
        self.settings = Settings.model_validate({name: stack.settings[f"NEONBLUE_{name.upper()}"] for name in names})
        self.target = Target(stack.api_url, stack.api_token)
        self.users = self.pick(50_000, 20_000)
        self._paused = False
        self._population_ready = False

    def pick(self, full: _T, quick: _T) -> _T:
        """The size of something in a full run and in a quick one."""
        return quick if self.quick else full

    # Servers

    def postgres(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(self.settings.postgres_url, autocommit=True)

    @contextmanager
    def clickhouse(self) -> Iterator[ClickHouse]:
        with clickhouse_client.connect(self.settings, "bench") as found:
            yield found

    def api(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.target.token}"}
        return httpx.Client(base_url=self.target.url, headers=headers, timeout=60, trust_env=False)

    def post(self, api: httpx.Client, path: str, body: Any) -> Any:
        """The reply's JSON. An answer of 503 under load is asked for again; raises BenchError at another refusal."""
        for _ in range(20):
            answer = api.post(path, json=body)
            if answer.status_code != 503:
                break
            time.sleep(0.5)
        if answer.status_code >= 300:
            raise BenchError(f"POST {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    def population(self) -> None:
        """The experiment of the load, running, with every user of the population assigned to it."""
        if self._population_ready:
            return
        with self.api() as api:
            self.make_experiments(api, [EXPERIMENT], {"conversion": "proportion", "add_to_cart": "mean"})
            for body in assignment_batches(EXPERIMENT, self.users, ("control", "new")):
                self.post(api, "/v1/assignments/batch", body)
        self._population_ready = True

    def make_experiments(
        self, api: httpx.Client, keys: Sequence[str], metrics: dict[str, str], started_at: str | None = None
    ) -> None:
        """Experiments with two variants, all with the same metrics: event type (up to a colon in it) → kind."""
        for name, kind in metrics.items():
            body = {"key": f"{keys[0]}.{name.replace(':', '.')}", "kind": kind, "event_type": name.split(":")[0]}
            self.post(api, "/v1/metrics", body)
        used = [f"{keys[0]}.{name.replace(':', '.')}" for name in metrics]
        variants = [{"key": "control", "weight": 0.5, "is_control": True}, {"key": "new", "weight": 0.5}]
        for key in keys:
            self.post(api, "/v1/experiments", {"key": key, "variants": variants, "metrics": used})
            self.post(api, f"/v1/experiments/{key}/start", {"started_at": started_at} if started_at else {})

    # The stream

    def pause_stream(self) -> None:
        """Connect stops reading the write-ahead log; what is accepted piles up behind its slot."""
        self._tell_connect("pause", "PAUSED")
        self._paused = True

    def resume_stream(self) -> None:
        self._tell_connect("resume", "RUNNING")
        self._paused = False

    def settle(self) -> None:
        """Returns when every row of the outbox until now has landed in ClickHouse. Raises BenchError after ten minutes.

        The slot's own word for it comes with the next heartbeat only, up to ten seconds later.
        """
        if self._paused:
            self.resume_stream()
        deadline = time.monotonic() + _ARRIVAL_S
        with self.postgres() as postgres, self.clickhouse() as clickhouse:
            until = postgres.execute("select clock_timestamp()").fetchall()[0][0]
            count = "select count(*) from outbox_log where created_at < %s"
            rows = postgres.execute(count, (until,)).fetchall()[0][0]
            # Counting all rows costs nothing, counting distinct ones does.
            while clickhouse.rows("select count() from landing_rows")[0][0] < rows or (
                clickhouse.rows(_LANDED, {"until": until})[0][0] < rows
            ):
                if time.monotonic() > deadline:
                    raise BenchError(f"not all of {rows:,} rows of the outbox have landed after {_ARRIVAL_S} s")
                time.sleep(0.1)

    def check_exact(self) -> None:
        """Raises BenchError unless ClickHouse answers with exactly the events that PostgreSQL accepted."""
        self.settle()
        deadline = time.monotonic() + _VIEWS_S
        with self.postgres() as postgres, self.clickhouse() as clickhouse:
            # The canary of the pipeline may be on its way at any time.
            until = postgres.execute("select clock_timestamp()").fetchall()[0][0]
            accepted = postgres.execute("select count(*) from events where created_at < %s", (until,)).fetchall()[0][0]
            # The views behind landing are a moment later than it.
            while tuple(found := clickhouse.rows(_FOUND, {"until": until})[0]) != (accepted, accepted):
                if time.monotonic() > deadline:
                    raise BenchError(f"{accepted:,} events accepted; a query finds {found[0]:,} rows, {found[1]:,} ids")
                time.sleep(0.2)

    def _tell_connect(self, verb: str, state: str) -> None:
        deadline = time.monotonic() + 60
        with httpx.Client(base_url=self.settings.connect_url, timeout=30, trust_env=False) as connect:
            connector.request(connect, "PUT", f"/connectors/{CONNECTOR}/{verb}")
            while True:
                found = connector.status(connect) or {"tasks": []}
                if found["tasks"] and all(task["state"] == state for task in found["tasks"]):
                    return
                if time.monotonic() > deadline:
                    raise BenchError(f"connector {CONNECTOR} is not {state} after 60 s: {found}")
                time.sleep(0.02)

    def rest_dagster(self) -> None:
        """No schedule, sensor or run from now on, as each minute one builds the day again; awaits those at work."""
        Supervisor(self.stack.home).stop_part(PARTS["dagster-daemon"])
        url = psycopg_url(self.stack.settings["NEONBLUE_DAGSTER_POSTGRES_URL"])
        deadline = time.monotonic() + _RUNS_END_S
        with psycopg.connect(url, autocommit=True) as dagster:
            while dagster.execute("select from runs where status in ('STARTING', 'STARTED') limit 1").fetchone():
                if time.monotonic() > deadline:
                    raise BenchError(f"a run of Dagster does not end within {_RUNS_END_S} s")
                time.sleep(0.2)

    # Processes

    def processes(self, part: str) -> list[psutil.Process]:
        """The part's process and all that it started."""
        with suppress(psutil.NoSuchProcess):
            if pid := Supervisor(self.stack.home).info(PARTS[part]).pid:
                process = psutil.Process(pid)
                return [process, *process.children(recursive=True)]
        return []

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time of each part since its start; PostgreSQL's log sender apart from its other processes."""
        spent: dict[str, float] = {}
        for part in PARTS:
            for process in self.processes(part):
                with suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    sender = part == "postgres" and "walsender" in " ".join(process.cmdline())
                    name = "postgres, log sender" if sender else "dagster" if part.startswith("dagster") else part
                    # Those of children that ended are counted by who waited for them.
                    ended = times.children_user + times.children_system
                    spent[name] = spent.get(name, 0.0) + times.user + times.system + ended
        return spent

    def memory_mb(self, *parts: str) -> float:
        """Proportional set size of these parts, or of all and the supervisor; shared pages count once."""
        found = [process for part in parts or PARTS for process in self.processes(part)]
        if not parts:
            found.append(psutil.Process(int((self.stack.home.run / "supervisord.pid").read_text())))
        total = 0
        for process in found:
            with suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().pss
        return total / 1e6

    @contextmanager
    def peak_memory(self, *parts: str, every_s: float = 1) -> Iterator[list[float]]:
        """The largest memory_mb seen inside the block, as the list's only element; a look at all parts costs 50 ms."""
        peak, over = [0.0], threading.Event()

        def look() -> None:
            while not over.is_set():
                peak[0] = max(peak[0], self.memory_mb(*parts))
                over.wait(every_s)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield peak
        finally:
            over.set()
            thread.join()

    @contextmanager
    def analytic(self) -> Iterator[ClickHouse]:
        """ClickHouse without the data of other parts, before the block and after it. Dagster rests."""
        self.rest_dagster()
        self.settle()
        with self.clickhouse() as clickhouse:
            empty(clickhouse)
            try:
                yield clickhouse
            finally:
                empty(clickhouse)


def await_merges(clickhouse: ClickHouse) -> None:
    """Returns when ClickHouse has merged nothing for a second. Raises BenchError after ten minutes.

    Rows of a day that come within a minute are merged for minutes, which in operation goes on all day long.
    """
    deadline = time.monotonic() + _ARRIVAL_S
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < 1:
        if clickhouse.rows("select count() from system.merges where database = currentDatabase()")[0][0]:
            quiet_since = time.monotonic()
        if time.monotonic() > deadline:
            raise BenchError(f"ClickHouse still merges what was loaded after {_ARRIVAL_S} s")
        time.sleep(0.1)


def empty(clickhouse: ClickHouse) -> None:
    for table in _ANALYTIC:
        clickhouse.command(f"truncate table {table}", max_table_size_to_drop=0, max_partition_size_to_drop=0)
