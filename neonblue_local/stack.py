"""Starting and stopping the whole stack: who waits for whom, when a part counts as started, what a stop leaves."""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psutil

from neonblue_local import environment, orphans, setup_step
from neonblue_local.errors import LocalError, PartFailed, PortTaken, SettingsError
from neonblue_local.home import HOST, Home
from neonblue_local.jars import lock
from neonblue_local.java import JARS
from neonblue_local.parts import PARTS, SETUP_NEEDS, STOP_ORDER, NotReady, Part
from neonblue_local.parts.dagster import make_dagster_home
from neonblue_local.progress import Progress
from neonblue_local.supervision import ProcessInfo, Supervisor

_PROBE_PAUSE_SECONDS = 0.1


def up(home: Home, parts: list[Part], progress: Progress) -> dict[str, str]:
    """Start these parts and wait until each answers; parts that already run are asked only. Returns the settings."""
    with home.lock():
        home.check_space()
        settings = environment.create(home)
        make_dagster_home(home)
        fetch_jars(progress)
        supervisor = Supervisor(home)
        if supervisor.is_running():
            if not supervisor.is_current():
                raise SettingsError(
                    f"the stack in {home.root} runs with other settings (port base, folder of the project or version); "
                    "`neonblue down` first, then `neonblue up`"
                )
        else:
            clear_orphans(home, progress)
            check_ports(home, list(parts))
            supervisor.start(settings)
        names = {part.name for part in parts}
        setup = any(part.needs_setup for part in parts) and names.issuperset(SETUP_NEEDS)
        _start_all(supervisor, settings, parts, progress, setup=setup)
        return settings


def down(home: Home, progress: Progress) -> bool:
    """Stop everything of this state folder; the data stays. Returns whether anything ran."""
    if not home.root.is_dir():
        return False
    with home.lock():
        supervisor = Supervisor(home)
        ran = supervisor.is_running()
        ends: dict[str, ProcessInfo] = {}
        if ran:
            _stop_all(supervisor, progress)
            ends = supervisor.infos()
            supervisor.shutdown()
        # Without a supervisor these are its orphans; after one, what a part itself had started and left.
        ran = clear_orphans(home, progress, quiet=ran) or ran
        for part in PARTS.values():
            part.stopped(home, cleanly=part.name in ends and ends[part.name].ended_cleanly)
        return ran


def clear_orphans(home: Home, progress: Progress, *, quiet: bool = False) -> bool:
    """End processes of this state folder that no supervisor looks after. Returns whether there were any."""
    found = orphans.find(home)
    if found:
        if not quiet:
            progress.note(f"left over from a supervisor that was killed, ended now: {orphans.describe(found)}")
        orphans.end(found)
    return bool(found)


def fetch_jars(progress: Progress) -> None:
    """Download the jars that are missing; each start asks, so that a broken setup heals."""
    jars = lock.missing(JARS, lock.pinned())
    if jars:
        # jgo and what it brings cost a second to import, which a start without downloads saves.
        from neonblue_local.jars import fetch

        with progress.count("jars of Kafka and Debezium", len(jars)) as advance:
            fetch.fetch(JARS, jars, on_done=lambda jar: advance())


def check_ports(home: Home, parts: list[Part]) -> None:
    """Raise PortTaken, with who listens there, if a port of these parts is not free."""
    for part in parts:
        for name in part.ports:
            port = home.port(name)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError:
                    raise PortTaken(
                        f"{part.name}: port {port} is taken by {_listener(port)}; stop that, or start on other ports: "
                        f"NEONBLUE_PORT_BASE={_other_base(home)} neonblue up"
                    ) from None


def _listener(port: int) -> str:
    """Who listens there, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})" if connection.pid else "?"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass
    return "another program"


def _other_base(home: Home) -> int:
    return home.port_base + 1000 if home.port_base < 60000 else 17000


def _start_all(
    supervisor: Supervisor, settings: Mapping[str, str], parts: list[Part], progress: Progress, *, setup: bool
) -> None:
    """Each part in a thread of its own, which waits for those that the part needs; setup is one thread more."""
    ready = {part.name: threading.Event() for part in parts}
    failed = threading.Event()

    def step(needs: tuple[str, ...], run: Callable[[], None]) -> None:
        try:
            for name in needs:
                while name in ready and not ready[name].wait(0.05):
                    if failed.is_set():
                        return
            run()
        except BaseException:
            failed.set()
            raise

    def start(part: Part) -> None:
        _start_one(supervisor, settings, part, progress, failed)
        ready[part.name].set()

    steps = [(part.after, partial(start, part)) for part in parts]
    if setup:
        steps.append((SETUP_NEEDS, partial(setup_step.run, supervisor.home, settings, progress)))
    with progress.parts([part.name for part in parts]), ThreadPoolExecutor(len(steps)) as pool:
        tasks = [pool.submit(step, needs, run) for needs, run in steps]
    errors = [error for task in tasks if (error := task.exception())]
    for error in errors:
        if not isinstance(error, LocalError):
            raise error
    if errors:
        raise errors[0]


def _start_one(
    supervisor: Supervisor, settings: Mapping[str, str], part: Part, progress: Progress, failed: threading.Event
) -> None:
    home = supervisor.home
    begin = time.monotonic()
    starts = not supervisor.info(part).is_up
    if starts:
        check_ports(home, [part])
        part.prepare(home, settings)
        progress.starting(part.name)
        supervisor.start_part(part)
    since = _await_answer(supervisor, settings, part, begin + part.start_seconds, failed.is_set)
    if since:
        if starts:
            part.answered(home, settings, since)
        progress.ready(part.name, time.monotonic() - begin, part.address(home))


def _await_answer(
    supervisor: Supervisor, settings: Mapping[str, str], part: Part, deadline: float, give_up: Callable[[], bool]
) -> float:
    """Unix time of the process's start, once it answers; 0 if another part failed meanwhile.

    An answer counts only if the same process ran before and after it: on a taken port a second server dies quietly
    while the first one answers.
    """
    pid = 0
    reason = "it was not asked yet"
    while not give_up():
        info = supervisor.info(part)
        pid = pid or info.pid
        if not info.is_up or info.pid != pid:
            _fail(supervisor, part, f"ended while starting{info.spawn_error and f' ({info.spawn_error})'}")
        try:
            if part.ports and not _is_open(supervisor.home.port(part.ports[0])):
                raise NotReady("its port is not open yet")
            part.probe(supervisor.home, settings, info.started)
        except NotReady as error:
            reason = str(error)
        else:
            if supervisor.info(part).pid == pid:
                return info.started
        if time.monotonic() > deadline:
            _fail(supervisor, part, f"did not answer within {part.start_seconds} s ({reason})")
        time.sleep(_PROBE_PAUSE_SECONDS)
    return 0


def _is_open(port: int) -> bool:
    """Asked before a part's own probe, as that costs far more."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _fail(supervisor: Supervisor, part: Part, what: str) -> None:
    supervisor.stop_part(part)
    log = supervisor.home.log_file(part.name)
    lines = log.read_text(errors="replace").splitlines()[-5:] if log.is_file() else []
    shown = "".join(f"\n    {line[:300]}" for line in lines)
    raise PartFailed(
        f"{part.name}: {what}. Last lines of its log {log}:{shown}\n"
        "Repair what it names, then `neonblue up` again (`neonblue doctor` looks for usual causes); "
        "`neonblue down` stops the rest"
    )


def _stop_all(supervisor: Supervisor, progress: Progress) -> None:
    infos = supervisor.infos()
    for names in STOP_ORDER:
        running = [PARTS[name] for name in names if name in infos and infos[name].state != "STOPPED"]
        if running:
            with ThreadPoolExecutor(len(running)) as pool:
                list(pool.map(supervisor.stop_part, running))
            for part in running:
                progress.stopped(part.name)
