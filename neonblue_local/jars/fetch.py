"""Downloads the pinned jars with jgo and lets none through whose sha256 differs.

A jar is fetched into a folder of its own, checked, and then renamed into place: what lies in the jars folder is whole,
however the last run ended. So a run that failed is taken up where it stopped by running it again.
"""

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import requests
from jgo.maven import MavenContext
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from neonblue_local.errors import DownloadError
from neonblue_local.jars.lock import Jar, sha256

_ATTEMPTS = 5
_PARALLEL = 8


class _Mismatch(Exception):
    """What came is not the pinned file."""


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
                if (digest := sha256(path)) != jar.sha256:
                    size = path.stat().st_size
                    raise _Mismatch(f"{size} of {jar.size} bytes came, sha256 {digest}, pinned is {jar.sha256}")
                path.replace(folder / jar.filename)
            finally:
                shutil.rmtree(cache, ignore_errors=True)
