"""Downloads the pinned jars with jgo and lets none through whose sha256 differs.

A jar is fetched into a folder of its own, checked, and then renamed into place: what lies in the jars folder is whole,
however the last run ended. So a run that failed is taken up where it stopped by running it again.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from jgo.maven import MavenContext
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from neonblue_local.errors import DownloadError

LOCK = Path(__file__).with_name("jars.lock")
_ATTEMPTS = 5
_PARALLEL = 8


@dataclass(frozen=True)
class Jar:
    """One line of jars.lock: coordinates, size in bytes, sha256 in hex."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


class _Mismatch(Exception):
    """What came is not the pinned file."""


def pinned(lock: Path = LOCK) -> list[Jar]:
    """The jars of the lock file, in its order, which is the order on the class path."""
    jars = []
    for line in lock.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinates, size, digest = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, int(size), digest.removeprefix("sha256:")))
    return jars


def class_path(folder: Path) -> str:
    return ":".join(str(folder / jar.filename) for jar in pinned())


def missing(folder: Path, jars: list[Jar]) -> list[Jar]:
    """Jars that are not there or have another size. Cheap: every start asks."""
    return [jar for jar in jars if not (p := folder / jar.filename).is_file() or p.stat().st_size != jar.size]


def damaged(folder: Path, jars: list[Jar]) -> list[Jar]:
    """Jars that are not there or whose content is not the pinned one. Reads every byte: setup and doctor ask."""
    return [jar for jar in jars if not (p := folder / jar.filename).is_file() or _sha256(p) != jar.sha256]


def fetch(
    folder: Path,
    jars: list[Jar],
    *,
    context: Callable[[Path], Any] = lambda cache: MavenContext(repo_cache=cache, timeout=30),
    on_done: Callable[[Jar], None] = lambda jar: None,
    wait_seconds: float = 2.0,
) -> None:
    """Bring these jars into the folder; raises DownloadError naming the first that would not come.

    Args:
        context: makes jgo's Maven context for a cache folder; a test points it at its own repository.
        on_done: called after each jar, from one thread.
        wait_seconds: upper end of the first pause between two attempts; it doubles each time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(".part-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as drafts, ThreadPoolExecutor(_PARALLEL) as pool:
        tasks = {pool.submit(_fetch_one, jar, folder, Path(drafts), context, wait_seconds): jar for jar in jars}
        failed: list[tuple[Jar, BaseException]] = []
        for task in as_completed(tasks):
            if error := task.exception():
                if not failed:
                    pool.shutdown(wait=False, cancel_futures=True)
                failed.append((tasks[task], error))
                break
            on_done(tasks[task])
    if failed:
        jar, error = failed[0]
        raise DownloadError(
            f"jar {jar}: not fetched after {_ATTEMPTS} attempts ({error}); the jars that did come are kept. Check the "
            "network (a proxy is taken from HTTPS_PROXY, a company's certificate from REQUESTS_CA_BUNDLE), then run "
            f"`make setup` again; or put {jar.filename} with sha256 {jar.sha256} into {folder} yourself"
        ) from error


def _fetch_one(jar: Jar, folder: Path, drafts: Path, context: Callable[[Path], Any], wait_seconds: float) -> None:
    retrying = Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=wait_seconds, max=30),
        # jgo raises RuntimeError for an answer other than 200.
        retry=retry_if_exception_type((requests.RequestException, OSError, RuntimeError, _Mismatch)),
        reraise=True,
    )
    for attempt in retrying:
        with attempt:
            # A folder for each attempt: what a broken one left behind can never be taken for the file.
            cache = drafts / f"{jar.filename}.{attempt.retry_state.attempt_number}"
            artifact = context(cache).project(jar.group, jar.artifact).at_version(jar.version).artifact()
            try:
                path = artifact.resolve()
                if (digest := _sha256(path)) != jar.sha256:
                    size = path.stat().st_size
                    raise _Mismatch(f"{size} of {jar.size} bytes came, sha256 {digest}, pinned is {jar.sha256}")
                path.replace(folder / jar.filename)
            finally:
                shutil.rmtree(cache, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
