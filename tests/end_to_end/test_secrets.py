"""Where no secret may be: logs, command lines, Kafka, what Connect shows; and who may read the files that hold them."""

import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psutil
import pytest

from neonblue_local.supervision import Supervisor
from tests.end_to_end.journey import Platform
from tests.fix_stack import Stack


@pytest.fixture(scope="module")
def secrets(stack: Stack, platform: Platform) -> dict[str, bytes]:
    """Name → secret of the stack, and of tokens that were made, used and guessed while it ran."""
    found = {"NEONBLUE_API_TOKEN": stack.api_token, "a guessed token": f"nb_guess-{uuid4().hex}"}
    for name, value in stack.settings.items():
        if password := urlsplit(value).password:
            found[name] = password
    made = platform.post("/v1/tokens", {"name": f"t-{uuid4().hex}", "scopes": ["read"]})
    found["a token that was made"] = made["token"]
    rotated = platform.post(f"/v1/tokens/{made['token_id']}/rotate", {})
    found["a token that was rotated in"] = rotated["token"]
    for token in (made["token"], found["a guessed token"]):
        headers = {"Authorization": f"Bearer {token}"}
        for path, body in (("/v1/events", b'{"user_id": "u"'), ("/v1/tokens", b"{}"), ("/v1/experiments", b"\xff")):
            httpx.post(f"{stack.api_url}{path}", content=body, headers=headers, trust_env=False)
    # A wrong password and a wrong statement, as an operator types them.
    url = urlsplit(stack.clickhouse_url)
    for user in (f"{url.username}:{url.password}", f"{url.username}:wrong"):
        httpx.post(f"http://{user}@{url.hostname}:{url.port}/", content="selec 1", trust_env=False)
    assert {"NEONBLUE_POSTGRES_URL", "NEONBLUE_CLICKHOUSE_URL"} < found.keys()
    return {name: secret.encode() for name, secret in found.items()}


def _processes(stack: Stack) -> Iterator[psutil.Process]:
    """The stack's own, and nobody else's."""
    supervisord = psutil.Process(int((stack.home.run / "supervisord.pid").read_text()))
    yield supervisord
    yield from supervisord.children(recursive=True)


def test_no_command_line_of_the_stack_holds_a_secret(stack: Stack, secrets: dict[str, bytes]) -> None:
    seen = 0
    for process in _processes(stack):
        try:
            line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        except FileNotFoundError:
            continue  # a run of Dagster that has just ended
        assert not [name for name, secret in secrets.items() if secret in line], process.name()
        seen += 1
    assert seen > len([part for part in Supervisor(stack.home).infos().values() if part.is_up])


def test_no_log_holds_a_secret(stack: Stack, secrets: dict[str, bytes]) -> None:
    logs = [path for path in (*stack.home.log.rglob("*"), *stack.home.data("dagster").rglob("*")) if path.is_file()]
    assert len(logs) > 5
    for path in logs:
        text = path.read_bytes()
        assert not [name for name, secret in secrets.items() if secret in text], path


def test_neither_kafka_nor_connect_has_the_password_of_postgresql(stack: Stack, secrets: dict[str, bytes]) -> None:
    password = secrets["NEONBLUE_POSTGRES_URL"]
    shown = httpx.get(f"{stack.connect_url}/connectors/neonblue_outbox/config", trust_env=False)
    assert shown.status_code == 200
    assert password not in shown.content
    segments = [path for path in stack.home.data("kafka").rglob("*.log") if path.stat().st_size]
    assert any("connect-configs" in str(path) for path in segments)
    for path in segments:
        text = path.read_bytes()
        assert not [name for name, secret in secrets.items() if secret in text], path


def test_files_that_hold_secrets_are_their_owners_alone(stack: Stack, secrets: dict[str, bytes]) -> None:
    folders = (stack.home.etc, stack.home.run)
    holding = [stack.home.env_file]
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        text = path.read_bytes()
        if any(secret in text for secret in secrets.values()):
            holding.append(path)
    for path in holding:
        open_to_others = [p for p in (path, *path.parents) if not p.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)]
        assert open_to_others, f"{path} can be read by others"
    assert stack.home.env_file.stat().st_mode & 0o777 == 0o600
