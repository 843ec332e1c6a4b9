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
