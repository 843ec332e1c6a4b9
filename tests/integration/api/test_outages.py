"""PostgreSQL away, frozen or restarted under an API of its own: a 503 in time, nothing half-written, then as before."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from tests.integration.api.fix_api import TOKEN, apply_schema, served_api

NOBODY = "http://nobody:nothing@127.0.0.1:9"


@contextmanager
def _client(url: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def _processes(postgres_url: str) -> list[psutil.Process]:
    """The server that listens at this address, and its children."""
    port = urlsplit(postgres_url).port
    (postmaster,) = {
        found.pid
        for found in psutil.net_connections("tcp4")
        if found.status == psutil.CONN_LISTEN and found.laddr.port == port and found.pid
    }
    server = psutil.Process(postmaster)
    return [server, *server.children()]


def _event(**fields: str) -> dict[str, str]:
    return {"id": str(uuid4()), "user_id": "u", "event_type": "x"} | fields


@retry(retry=retry_if_result(lambda status: status != 202), stop=stop_after_delay(30), wait=wait_fixed(0.2))
def _sent_again(client: httpx.Client, event: dict[str, str]) -> int:
    return client.post("/v1/events", json=event).status_code


def _is_unavailable(reply: httpx.Response) -> None:
    assert (reply.status_code, reply.json()["code"]) == (503, "database_unavailable")
    assert int(reply.headers["Retry-After"]) >= 1


def test_postgresql_away_frozen_and_back(empty_stack):
    empty_stack.up("postgres")
    url = empty_stack.postgres_url
    with served_api(url, NOBODY) as (api_url, _), _client(api_url) as client:
        without_schema = client.get("/readyz")
        assert (without_schema.status_code, without_schema.json()["code"]) == (503, "database_unavailable")
        assert "accept_events" in without_schema.json()["detail"]
        assert client.post("/v1/events", json=_event()).status_code == 503
        assert client.get("/healthz").status_code == 200

        apply_schema(url)
        assert client.get("/readyz").status_code == 200
        assert client.post("/v1/events", json=_event()).status_code == 202

        frozen = _processes(url)
        events = [_event() for _ in range(20)]
        batch = {"events": [_event() for _ in range(50)]}
        try:
            for process in frozen:
                process.suspend()
            asked = [lambda: client.get("/readyz"), lambda: client.post("/v1/events/batch", json=batch)]
            asked += [lambda e=event: client.post("/v1/events", json=e) for event in events]
            asked += [lambda: client.post("/v1/metrics", json={"key": "m", "kind": "mean", "event_type": "x"})]
            with ThreadPoolExecutor(len(asked)) as pool:
                # The server is frozen until all are answered: none of the replies waits for it.
                for reply in pool.map(lambda ask: ask(), asked):
                    _is_unavailable(reply)
        finally:
            for process in frozen:
                process.resume()
        for event in events:
            assert _sent_again(client, event) == 202
        told = client.post("/v1/events/batch", json=batch).json()
        assert told["accepted"] + told["duplicates"] == 50
        with psycopg.connect(url) as connection:
            stored = connection.execute("select count(*), count(distinct event_id) from events").fetchone()
            shipped = connection.execute("select count(*) from outbox_log where aggregate_type = 'event'").fetchone()
        assert stored == (71, 71)
        assert shipped == (71,)

        empty_stack.down()
        for request in (lambda: client.post("/v1/events", json=_event()), lambda: client.get("/v1/metrics")):
            _is_unavailable(request())
        empty_stack.up("postgres")
        assert _sent_again(client, _event()) == 202
        assert client.get("/v1/metrics").status_code == 200


def test_without_clickhouse_intake_goes_on_and_readers_say_what_is_missing(postgres_url, name):
    with served_api(postgres_url, NOBODY) as (api_url, _), _client(api_url) as client:
        assert client.post("/v1/events", json=_event(user_id=name)).status_code == 202
        assert client.post("/v1/experiments", json={"key": name}).status_code == 201
        for part in ("results", "summary", "journeys", "timeseries", "properties?property=page", "funnel?steps=x"):
            reply = client.get(f"/v1/experiments/{name}/{part}")
            assert (reply.status_code, reply.json()["code"]) == (503, "analytics_unavailable")
            assert "Retry-After" in reply.headers
            assert "ClickHouse" in reply.json()["detail"]
        assert client.get(f"/v1/experiments/{name}-no/results").status_code == 404


def test_requests_in_flight_are_answered_when_the_api_stops(postgres_url, name, outbox):
    with served_api(postgres_url, NOBODY) as (api_url, process), _client(api_url) as client:
        batches = [{"events": [_event(user_id=name) for _ in range(1000)]} for _ in range(12)]

        def send(batch: dict) -> int | None:
            try:
                return client.post("/v1/events/batch", json=batch).json()["accepted"]
            except httpx.TransportError:
                return None  # not taken any more; a request that was taken is answered

        with ThreadPoolExecutor(6) as pool:
            first, *rest = [pool.submit(send, batch) for batch in batches]
            assert first.result() == 1000
            process.terminate()
            accepted = [1000, *(future.result() or 0 for future in rest)]
        assert process.wait(20) in (0, -15)
    assert len(outbox(name)) == sum(accepted)


@pytest.mark.parametrize("missing", ["NEONBLUE_POSTGRES_URL", "NEONBLUE_API_TOKEN"])
def test_an_api_without_a_setting_does_not_start_and_names_it(postgres_url, missing, capfd):
    with pytest.raises(RuntimeError, match="ended"), served_api(postgres_url, NOBODY, **{missing: ""}):
        pass
    assert missing in capfd.readouterr().err
