"""The Debezium connector in Kafka Connect: its definition (connector.json), its registration, its state and repair."""

import json
import time
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from neonblue_pipeline.errors import ConnectorError
from neonblue_pipeline.settings import CONNECTOR, SLOT, Settings

if TYPE_CHECKING:
    import httpx

_DEFINITION = Path(__file__).with_name("connector.json")
_POLL_S = 0.25
# For how long a request is repeated that Connect does not take.
_PATIENCE_S = 30


class _NotNow(Exception):
    """Connect does not answer, or did nothing because it hands out its work again (409) or restarts (503)."""


def definition(settings: Settings) -> dict[str, str]:
    """The connector's configuration with this stack's servers filled in."""
    quoted = {name: json.dumps(value)[1:-1] for name, value in settings.connector_variables.items()}
    filled: dict[str, str] = json.loads(Template(_DEFINITION.read_text()).substitute(quoted))
    return filled | settings.connector_tls


def status(connect: "httpx.Client") -> dict[str, Any] | None:
    """State of connector and tasks as Connect tells it; None if there is no such connector."""
    answer = request(connect, "GET", f"/connectors/{CONNECTOR}/status")
    return None if answer.status_code == 404 else answer.json()


def task_failure(state: dict[str, Any]) -> str | None:
    """The first line of the trace of what has FAILED. The connector may be RUNNING while its task is not."""
    for part in (state["connector"], *state["tasks"]):
        if part["state"] == "FAILED":
            return str(part.get("trace", "no trace")).splitlines()[0]
    return None


def slot_active(settings: Settings) -> bool:
    """Whether PostgreSQL sees the connector reading. Connect's RUNNING may be stale."""
    import psycopg

    with psycopg.connect(settings.postgres_url) as connection:
        row = connection.execute("select active from pg_replication_slots where slot_name = %s", (SLOT,)).fetchone()
    return bool(row and row[0])


def register(settings: Settings) -> dict[str, Any]:
    """Puts the definition, resumes what was paused or stopped, restarts what failed. Safe to repeat.

    Returns once the task runs and its slot is read.

    Raises ConnectorError with the task's own words when that does not happen in `connector_timeout_s`.
    """
    import httpx

    wanted = definition(settings)
    started = time.monotonic()
    deadline = started + settings.connector_timeout_s
    failure: str | None = None
    with httpx.Client(base_url=settings.connect_url, timeout=30) as connect:
        current = request(connect, "GET", f"/connectors/{CONNECTOR}/config")
        changed = current.status_code == 404 or _without_name(current.json()) != wanted
        if changed:
            request(connect, "PUT", f"/connectors/{CONNECTOR}/config", json=wanted)
        restarts, resumed = 0, False
        while time.monotonic() < deadline:
            state = status(connect)
            if state is not None:
                if state["connector"]["state"] in ("PAUSED", "STOPPED") and not resumed:
                    resumed = True
                    request(connect, "PUT", f"/connectors/{CONNECTOR}/resume")
                failure = task_failure(state)
                running = state["tasks"] and all(
                    part["state"] == "RUNNING" for part in (state["connector"], *state["tasks"])
                )
                if running and slot_active(settings):
                    seconds = round(time.monotonic() - started, 2)
                    return {
                        "changed": changed, "resumed": resumed, "restarts": restarts, "seconds": seconds, "slot": SLOT
                    }  # fmt: skip
                if failure and restarts < 3:
                    restarts += 1
                    request(connect, "POST", f"/connectors/{CONNECTOR}/restart?includeTasks=true&onlyFailed=true")
            time.sleep(_POLL_S)
    raise ConnectorError(
        f"connector '{CONNECTOR}' did not start to read slot '{SLOT}' in {settings.connector_timeout_s:.0f} s: "
        f"{failure or 'its task is not RUNNING or its slot not active'}; Connect's log tells more. "
        "Cure the cause, then materialise the asset `connector` again; where a slot or an offset is gone, "
        "`neonblue recover` makes a new one"
    )


def stop(connect: "httpx.Client", seconds: float) -> None:
    """Returns when the connector is STOPPED and has no tasks left. Raises ConnectorError if that takes longer."""
    request(connect, "PUT", f"/connectors/{CONNECTOR}/stop")
    deadline = time.monotonic() + seconds
    while True:
        state = status(connect)
        if state is not None and state["connector"]["state"] == "STOPPED" and not state["tasks"]:
            return
        if time.monotonic() > deadline:
            raise ConnectorError(
                f"connector '{CONNECTOR}' did not stop in {seconds:.0f} s, Connect tells {state}; "
                "restart Kafka Connect, then repeat"
            )
        time.sleep(_POLL_S)


def _without_name(config: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in config.items() if key != "name"}


def request(connect: "httpx.Client", method: str, path: str, **options: Any) -> "httpx.Response":
    """A request to Connect, repeated while it does not take it. Raises ConnectorError."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(_NotNow),
            wait=wait_fixed(_POLL_S),
            stop=stop_after_delay(_PATIENCE_S),
            reraise=True,
        ):
            with attempt:
                answer = _request_once(connect, method, path, **options)
    except _NotNow as error:
        raise ConnectorError(f"{error}; see its log, restart it, then repeat") from error
    if answer.status_code >= 400 and answer.status_code != 404:
        raise ConnectorError(f"Kafka Connect refused {method} {path} with {answer.status_code}: {answer.text[:1000]}")
    return answer


def _request_once(connect: "httpx.Client", method: str, path: str, **options: Any) -> "httpx.Response":
    import httpx

    try:
        answer = connect.request(method, path, **options)
    except httpx.TransportError as error:
        raise _NotNow(f"Kafka Connect at {connect.base_url} does not answer: {error}") from error
    if answer.status_code in (409, 503):
        raise _NotNow(f"Kafka Connect refused {method} {path} with {answer.status_code}: {answer.text[:300]}")
    return answer
