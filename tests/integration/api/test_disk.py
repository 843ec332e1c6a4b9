"""A disk that fills: facts are refused while PostgreSQL still works, none is lost, and it clears by itself."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from neonblue_local.status import stages
from neonblue_pipeline.figures import FREE_DISK, Figure
from neonblue_pipeline.probes import Finding, Positions, stream
from neonblue_pipeline.settings import read_settings
from tests.fix_stack import Stack
from tests.integration.api.fix_api import TOKEN, apply_schema, served_api

DISK_MB, KEPT_FREE = 700, 150 << 20
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir(mode=0o755)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"this machine mounts no small file system: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_facts_are_refused_before_postgresql_stops_and_are_accepted_again_when_there_is_room(
    small_disk: Path, storage_stack: Stack
) -> None:
    stack = Stack(small_disk)
    try:
        stack.up("postgres", NEONBLUE_MIN_FREE_GB="0.1")
        apply_schema(stack.postgres_url)
        with (
            served_api(stack.postgres_url, storage_stack.clickhouse_url, NEONBLUE_MIN_FREE_DISK=str(KEPT_FREE)) as (
                url,
                _,
            ),
            httpx.Client(
                base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30, trust_env=False
            ) as api,
            psycopg.connect(stack.postgres_url, autocommit=True) as postgres,
        ):
            acknowledged = [_send(api).json()["id"]]
            ballast = small_disk / "ballast"
            room = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            with ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, room - KEPT_FREE + (10 << 20))

            refused = _until(api, 503, acknowledged)
            assert refused.json()["code"] == "disk_nearly_full"
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.headers["Content-Type"] == "application/problem+json"
            batch = api.post("/v1/events/batch", json={"events": [{"user_id": "u", "event_type": "click"}] * 3})
            assert batch.json()["code"] == "disk_nearly_full"
            # PostgreSQL itself has not noticed anything.
            postgres.execute("insert into users (user_id) values (%s)", (f"u-{uuid4()}",))
            assert api.get("/v1/events", params={"user_id": "full"}).status_code == 200

            ballast.unlink()
            _until(api, 202, acknowledged)
            row = postgres.execute(
                "select count(*) from events where event_id = any(%s::uuid[])", (acknowledged,)
            ).fetchone()
            assert row == (len(acknowledged),)
    finally:
        stack.remove()


@pytest.mark.parametrize(
    ("kept_free_share", "found", "accepted", "works"),
    [(0.001, None, 202, True), (0.5, "disk fills", 202, True), (10, "disk nearly full", 503, False)],
)
def test_a_disk_is_told_while_it_fills_and_when_facts_are_refused(
    postgres_url: str, storage_stack: Stack, kept_free_share: float, found: str | None, accepted: int, works: bool
) -> None:
    with psycopg.connect(postgres_url) as postgres:
        (free,) = postgres.execute("select free_disk_bytes()").fetchone()
    kept_free = int(free * kept_free_share)
    with (
        served_api(postgres_url, storage_stack.clickhouse_url, NEONBLUE_MIN_FREE_DISK=str(kept_free)) as (url, _),
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30, trust_env=False) as api,
    ):
        # Nobody has sent anything yet: who watches hears of it first.
        told = stream.api(read_settings(api_url=url), Positions())
        assert [one.key for one in told if isinstance(one, Finding)] == ([found] if found else [])
        (figure,) = (one for one in told if isinstance(one, Figure))
        assert figure.series is FREE_DISK
        assert figure.value > 0
        stage = stages(storage_stack.home, storage_stack.settings | {"NEONBLUE_API_URL": url})[0]
        assert stage.ok is works
        assert _send(api).status_code == accepted


def _send(api: httpx.Client) -> httpx.Response:
    return api.post("/v1/events", json={"user_id": "full", "event_type": "click"})


def _until(api: httpx.Client, status: int, acknowledged: list[str]) -> httpx.Response:
    """Sends until the API answers so; what it accepts on the way is noted."""

    @retry(retry=retry_if_exception_type(AssertionError), wait=wait_fixed(0.2), stop=stop_after_delay(30), reraise=True)
    def sent() -> httpx.Response:
        reply = _send(api)
        if reply.status_code == 202:
            acknowledged.append(reply.json()["id"])
        assert reply.status_code == status, reply.text
        return reply

    return sent()
