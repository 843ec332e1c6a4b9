"""The state folder of one embedded stack: where its files lie, its ports, its lock and its free space.

Layout of NEONBLUE_HOME:

    neonblue.env        settings and secrets, mode 0600
    etc/                generated configuration
    run/                supervisor's configuration, socket and pid file
    log/                one log file a part, rotated
    postgres/ kafka/ clickhouse/ dagster/    data
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neonblue_local.errors import BusyError, DiskFull, SettingsError

PROJECT = Path(__file__).resolve().parent.parent
DEFAULT_PORT_BASE = 17000

# Offset of each port from NEONBLUE_PORT_BASE. This is the only table of ports.
PORTS = {
    "api": 0,
    "dagster-webserver": 1,
    "dagster-code": 2,
    "exporter": 3,
    "postgres": 10,
    "kafka": 20,
    "kafka-controller": 21,
    "connect": 30,
    "clickhouse": 40,
}
HOST = "127.0.0.1"

# Supervisor's configuration format gives these characters a meaning that quoting does not take away.
_UNUSABLE_IN_PATHS = ';#"\n'
# sun_path holds 104 bytes on macOS and 108 on Linux, with the closing zero.
_LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True)
class Home:
    """One state folder and its port base; two stacks side by side are two of these."""

    root: Path
    port_base: int

    @classmethod
    def from_environment(cls) -> "Home":
        """The stack named by NEONBLUE_HOME and NEONBLUE_PORT_BASE; the base of an existing stack is remembered."""
        root = Path(os.environ.get("NEONBLUE_HOME") or ".neonblue").expanduser().absolute()
        if bad := [c for c in _UNUSABLE_IN_PATHS if c in str(root)]:
            raise SettingsError(
                f"NEONBLUE_HOME: {str(root)!r} contains {bad[0]!r}, which the supervisor cannot take in a path; "
                "set NEONBLUE_HOME to a folder without it"
            )
        return cls(root, _port_base(root))

    def port(self, name: str) -> int:
        return self.port_base + PORTS[name]

    def address(self, name: str) -> str:
        return f"{HOST}:{self.port(name)}"

    @property
    def env_file(self) -> Path:
        return self.root / "neonblue.env"

    @property
    def etc(self) -> Path:
        return self.root / "etc"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def log(self) -> Path:
        return self.root / "log"

    def data(self, part: str) -> Path:
        return self.root / part

    def log_file(self, part: str) -> Path:
        return self.log / f"{part}.log"

    @property
    def socket(self) -> Path:
        """Supervisor's socket: in the state folder, or in the temporary folder if that path is too long for one."""
        path = self.run / "supervisor.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"neonblue-{os.getuid()}" / f"{digest}.sock"

    def create(self) -> None:
        """Make the folders. As root others may pass through (not list), as PostgreSQL runs as another user."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (self.etc, self.run, self.log):
            folder.mkdir(mode=0o700, exist_ok=True)
        if self.socket.parent != self.run:
            self.socket.parent.mkdir(mode=0o700, exist_ok=True)
            if self.socket.parent.stat().st_uid != os.getuid():
                raise SettingsError(
                    f"{self.socket.parent} belongs to another user; NEONBLUE_HOME ({self.root}) is too long a path for "
                    "a socket: set it to a shorter one"
                )

    def owns_folder(self) -> bool:
        """Whether the folder looks like a state folder: `reset` deletes no other."""
        return self.env_file.is_file() or (self.run / "lock").is_file()

    def check_space(self) -> None:
        """Raise DiskFull when fewer than NEONBLUE_MIN_FREE_GB (default 2) are free."""
        minimum = float(os.environ.get("NEONBLUE_MIN_FREE_GB") or 2)
        existing = next(p for p in (self.root, *self.root.parents) if p.exists())
        free = shutil.disk_usage(existing).free / 1e9
        if free < minimum:
            raise DiskFull(
                f"disk of {self.root}: {free:.1f} GB free, {minimum:g} GB are needed to start; free some space, or set "
                "NEONBLUE_HOME to a folder on another disk (NEONBLUE_MIN_FREE_GB changes the limit)"
            )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the state folder: of two commands that start or stop the same stack, the second is refused."""
        self.create()
        path = self.run / "lock"
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise BusyError(
                    f"another command (process {file.read().strip() or 'unknown'}) starts or stops the stack in "
                    f"{self.root}; wait for it to end and try again"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def _port_base(root: Path) -> int:
    """From the environment, else what the state folder was last started with, else the default."""
    text = os.environ.get("NEONBLUE_PORT_BASE")
    if not text and (root / "neonblue.env").is_file():
        lines = (root / "neonblue.env").read_text().splitlines()
        text = next((line.partition("=")[2] for line in lines if line.startswith("NEONBLUE_PORT_BASE=")), None)
    text = text or str(DEFAULT_PORT_BASE)
    highest = 65535 - max(PORTS.values())
    if not text.isdigit() or not 1024 <= int(text) <= highest:
        raise SettingsError(
            f"NEONBLUE_PORT_BASE: {text!r} is no first port; it must be a number from 1024 to {highest}"
        )
    return int(text)
