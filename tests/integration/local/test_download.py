"""Downloads that break: against a repository of Maven's layout on loopback, through the real jgo."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from jgo.maven import MavenContext

from neonblue_local.errors import DownloadError
from neonblue_local.jars import fetch, lock

CONTENT = bytes(range(256)) * 2000
JAR = lock.Jar("org.example", "connector", "1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
OTHER = lock.Jar("org.example", "runtime", "2.0", len(CONTENT), JAR.sha256)


class Repository:
    """Serves each request for a jar as the next word of its script says; after the last word, always like that."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[str]] = {}
        self.asked: list[str] = []
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                if not name.endswith(".jar"):
                    self.send_error(404)
                    return
                repository.asked.append(name)
                script = repository.scripts.get(name, ["whole"])
                way = script.pop(0) if len(script) > 1 else script[0]
                if way == "error":
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(CONTENT)))
                self.end_headers()
                self.wfile.write({"whole": CONTENT, "cut": CONTENT[:1000], "forged": CONTENT[::-1]}[way])

            def log_message(self, *arguments: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def context(self, cache: Path) -> MavenContext:
        return MavenContext(
            repo_cache=cache, remote_repos={"test": f"http://127.0.0.1:{self._server.server_port}/maven"}, timeout=5
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def repository() -> Iterator[Repository]:
    made = Repository()
    yield made
    made.close()


def bring(repository: Repository, folder: Path, *jars: lock.Jar) -> None:
    fetch.fetch(folder, list(jars), context=repository.context, wait_seconds=0.01)


def test_a_download_that_breaks_off_is_noticed_and_repeated(repository: Repository, tmp_path: Path) -> None:
    repository.scripts[JAR.filename] = ["cut", "error", "whole"]
    bring(repository, tmp_path, JAR)
    assert (tmp_path / JAR.filename).read_bytes() == CONTENT
    assert len(repository.asked) == 3
    assert lock.damaged(tmp_path, [JAR]) == []


def test_a_jar_that_is_not_the_pinned_one_never_gets_its_place(repository: Repository, tmp_path: Path) -> None:
    repository.scripts[JAR.filename] = ["forged"]
    with pytest.raises(DownloadError) as caught:
        bring(repository, tmp_path, JAR)
    for said in ("org.example:connector:1.0", "pinned is", JAR.sha256, "make setup", str(tmp_path)):
        assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_next_run_goes_on_where_a_failed_one_stopped(repository: Repository, tmp_path: Path) -> None:
    repository.scripts[JAR.filename] = ["error"]
    bring(repository, tmp_path, OTHER)
    with pytest.raises(DownloadError, match="the jars that did come are kept"):
        bring(repository, tmp_path, *lock.missing(tmp_path, [JAR, OTHER]))
    repository.scripts[JAR.filename] = ["whole"]
    repository.asked.clear()
    bring(repository, tmp_path, *lock.missing(tmp_path, [JAR, OTHER]))
    assert repository.asked == [JAR.filename]
    assert lock.damaged(tmp_path, [JAR, OTHER]) == []


def test_a_jar_cut_by_a_killed_run_is_replaced(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / JAR.filename).write_bytes(CONTENT[:5000])
    (tmp_path / ".part-killed").mkdir()
    bring(repository, tmp_path, *lock.missing(tmp_path, [JAR]))
    assert (tmp_path / JAR.filename).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == [JAR.filename]
