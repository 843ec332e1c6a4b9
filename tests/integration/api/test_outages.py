"""PostgreSQL away, frozen or restarted under an API of its own: a 503 in time, nothing half-written, then as before."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from time import sleep
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
from tenacity import Retrying, retry, retry_if_result, stop_after_delay, wait_fixed

from tests.integration.api.fix_api import NOBODY, TOKEN, apply_schema, served_api


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


def _when(ask: Callable[[], httpx.Response], status: int) -> httpx.Response:
    waiting = retry_if_result(lambda reply: reply.status_code != status)
    return Retrying(retry=waiting, stop=stop_after_delay(30), wait=wait_fixed(0.05))(ask)


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
        batch = {"events": [_event() for _ in range(5_000)]}
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
        assert told["accepted"] + told["duplicates"] == 5_000
        with psycopg.connect(url) as connection:
            stored = connection.execute("select count(*), count(distinct event_id) from events").fetchone()
            shipped = connection.execute(
                """select count(*) from outbox_log, lateral (select jsonb_path_query(payload::jsonb, '$.id')) told
                   where aggregate_type = 'event'"""
            ).fetchone()
        assert stored == (5_021, 5_021)
        assert shipped == (5_021,)

        with psycopg.connect(url, autocommit=True) as connection:
            (ours,) = connection.execute("select pg_get_functiondef('accept_events'::regproc)").fetchone() or ("",)
            connection.execute(
                """create or replace function accept_events(batch jsonb, gathered boolean default false)
                   returns table (event_position int, outcome text) language plpgsql as
                   $$ begin raise exception 'a mistake of ours'; end $$"""
            )
            failed = client.post("/v1/events", json=_event())
            assert (failed.status_code, failed.json()["code"]) == (500, "internal_error")
            assert "mistake" not in failed.text
            connection.execute(ours)

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


def test_a_frozen_clickhouse_holds_up_neither_intake_nor_the_reading_routes(postgres_url, storage_stack, name):
    with served_api(postgres_url, storage_stack.clickhouse_url) as (api_url, _), _client(api_url) as client:
        assert client.post("/v1/experiments", json={"key": name}).status_code == 201
        paths = [f"/v1/experiments/{name}/{part}" for part in ("results", "summary", "funnel?steps=x")] * 8
        frozen = _processes(storage_stack.clickhouse_url)
        try:
            for process in frozen:
                process.suspend()
            with ThreadPoolExecutor(len(paths)) as pool:
                # More readers than the driver has threads; all are answered while the server is frozen.
                replies = [pool.submit(client.get, path) for path in paths]
                assert client.post("/v1/events", json=_event(user_id=name)).status_code == 202
                told = [(reply.result().status_code, reply.result().json()) for reply in replies]
        finally:
            for process in frozen:
                process.resume()
        assert {(status, body["code"]) for status, body in told} == {(503, "analytics_unavailable")}
        # The driver was not waited for: it gives up later than the reply that says ClickHouse is not there.
        assert all("nor whether it is there" in body["detail"] for _, body in told)


@pytest.mark.parametrize("kept_open", [20, 0], ids=["connections kept", "a connection each"])
def test_no_request_is_lost_when_the_api_stops(postgres_url, name, outbox, kept_open):
    # Time for a reply to each writer, also on a busy machine: it tells to go elsewhere. Who came later
    # could meet the closing of the door.
    with served_api(postgres_url, NOBODY, NEONBLUE_DRAIN="3") as (api_url, process):
        limits = httpx.Limits(max_keepalive_connections=kept_open)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=api_url, headers=headers, timeout=30, trust_env=False, limits=limits) as client:
            asked_to_stop = Event()

            def send_on(writer: int) -> int:
                sent = 0
                while True:
                    batch = {"events": [_event(user_id=name) for _ in range(50 if writer % 2 else 1)]}
                    # On a machine that stands still for seconds PostgreSQL is too slow: the client comes back.
                    while (reply := client.post("/v1/events/batch", json=batch)).status_code == 503:
                        sleep(float(reply.headers["Retry-After"]))
                    told = reply.json()
                    assert told["accepted"] + told["duplicates"] == len(batch["events"]), reply.text
                    sent += len(batch["events"])
                    if reply.headers.get("Connection") == "close":
                        return sent
                    if sent > 100:
                        asked_to_stop.set()

            with ThreadPoolExecutor(16) as pool:
                writers = [pool.submit(send_on, writer) for writer in range(16)]
                assert asked_to_stop.wait(60)
                process.terminate()
                accepted = sum(writer.result() for writer in writers)
        assert process.wait(20) in (0, -15)
    assert len(outbox(name)) == accepted


def test_a_body_that_does_not_arrive_is_not_waited_for_without_end(postgres_url):
    with served_api(postgres_url, NOBODY, NEONBLUE_BODY_TIMEOUT="0.2") as (api_url, _):
        address = urlsplit(api_url)
        with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
            head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
            reply = b"".join(iter(lambda: connection.recv(4000), b""))
        assert reply.startswith(b"HTTP/1.1 408")
        assert b'"code":"body_timeout"' in reply


def test_a_process_that_ends_says_so_and_lets_its_clients_go(postgres_url):
    with served_api(postgres_url, NOBODY, NEONBLUE_DRAIN="60") as (api_url, process), _client(api_url) as client:
        assert "Connection" not in client.get("/readyz").headers
        process.terminate()
        ending = _when(lambda: client.get("/readyz"), 503)
        assert ending.json()["code"] == "ending"
        event = client.post("/v1/events", json=_event())
        assert (event.status_code, event.headers["Connection"]) == (202, "close")
        process.terminate()  # told again, it does not wait any longer
        assert process.wait(20) in (0, -15)


@pytest.mark.parametrize("missing", ["NEONBLUE_POSTGRES_URL", "NEONBLUE_API_TOKEN"])
def test_an_api_without_a_setting_does_not_start_and_names_it(postgres_url, missing, capfd):
    with pytest.raises(RuntimeError, match="ended"), served_api(postgres_url, NOBODY, by_command=True, **{missing: ""}):
        pass
    assert missing in capfd.readouterr().err
