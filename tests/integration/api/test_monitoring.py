"""What the API counts of itself at /metrics, by one process and by several behind one port."""

import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.fix_client import ComesBack
from tests.integration.api.fix_api import TOKEN, served_api

METRICS_TOKEN = "test-token-for-prometheus"


class _NotYet(Exception):
    pass


class Watched:
    """An API and its counts. A sample is its name and the values of its labels, sorted by name of the label."""

    def __init__(self, url: str, process_id: int) -> None:
        self.process_id = process_id
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.client = httpx.Client(base_url=url, headers=headers, timeout=30, transport=ComesBack())

    def samples(self) -> dict[tuple[str, ...], float]:
        # A connection of its own: one that was kept may belong to a process that is gone.
        token = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        reply = httpx.get(f"{self.client.base_url}/metrics", headers=token, timeout=30, trust_env=False)
        assert reply.status_code == 200, reply.text
        assert reply.headers["content-type"].startswith("text/plain")
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(reply.text)
            for sample in family.samples
        }

    def change(self, before: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
        """What counters and sums rose by."""
        return {key: value - before.get(key, 0) for key, value in self.samples().items() if value != before.get(key, 0)}

    def running(self) -> str:
        key = f"t-{uuid4().hex}"
        self.client.post("/v1/experiments", json={"key": key, "variants": [{"key": "a"}, {"key": "b"}]})
        assert self.client.post(f"/v1/experiments/{key}/start").status_code == 200
        return key


@pytest.fixture(scope="module")
def alone(storage_stack, postgres_url: str) -> Iterator[Watched]:
    url = storage_stack.clickhouse_url
    with served_api(postgres_url, url, NEONBLUE_METRICS_TOKEN=METRICS_TOKEN) as (address, process):
        yield Watched(address, process.pid)


def test_events_are_counted_by_what_became_of_them(alone: Watched) -> None:
    experiment = alone.running()
    event = {"id": str(uuid4()), "user_id": "u", "event_type": "click"}
    before = alone.samples()
    for _ in range(2):
        assert alone.client.post("/v1/events", json=event).status_code == 202
    alone.client.post("/v1/events", json=event | {"event_type": "other"})
    alone.client.post("/v1/events", json={"user_id": "", "event_type": "click"})
    alone.client.post("/v1/events", content=b"{", headers={"Content-Type": "application/json"})
    alone.client.post("/v1/events", content=b"{}", headers={"Content-Type": "text/plain"})
    batch = [{"user_id": "u", "event_type": "click"}] * 3 + [
        event,
        event | {"id": str(uuid4()), "experiment": experiment},
    ]
    assert alone.client.post("/v1/events/batch", json={"events": batch}).status_code == 202
    rose = alone.change(before)
    events = {key[1:]: value for key, value in rose.items() if key[0] == "neonblue_api_events_total"}
    assert events == {
        ("", "accepted"): 4,
        ("", "duplicate"): 2,
        ("event_conflict", "rejected"): 1,
        ("invalid_input", "rejected"): 1,
        ("malformed_json", "rejected"): 1,
        ("not_assigned", "rejected"): 1,
        ("unsupported_media_type", "rejected"): 1,
    }
    assert alone.samples()["neonblue_api_last_accepted_timestamp_seconds",] > 1.7e9


def test_of_an_atomic_batch_that_is_refused_every_event_is_rejected(alone: Watched) -> None:
    before = alone.samples()
    batch = [{"user_id": "u", "event_type": "click"}] * 4 + [{"user_id": "", "event_type": "click"}]
    assert alone.client.post("/v1/events/batch?atomic=true", json={"events": batch}).status_code == 422
    rose = {key: value for key, value in alone.change(before).items() if key[0] == "neonblue_api_events_total"}
    assert rose == {
        ("neonblue_api_events_total", "batch_refused", "rejected"): 4,
        ("neonblue_api_events_total", "invalid_input", "rejected"): 1,
    }


def test_requests_are_counted_by_template_so_that_no_key_and_no_stranger_makes_a_label(alone: Watched) -> None:
    experiment = alone.running()
    before = alone.samples()
    alone.client.get(f"/v1/experiments/{experiment}")
    alone.client.get("/v1/experiments/absent")
    alone.client.put(f"/v1/experiments/{experiment}")
    alone.client.request("PROPFIND", f"/v1/experiments/{experiment}")
    for path in ("/wp-login.php", "/v1/nothing", "/%00"):
        alone.client.get(path)
    alone.client.post("/v1/events", json={"user_id": "u", "event_type": "click"})
    rose = alone.change(before)
    requests = {key[1:]: value for key, value in rose.items() if key[0] == "neonblue_api_requests_total"}
    del requests["GET", "/metrics", "200"]  # of this test
    assert requests == {
        ("GET", "/v1/experiments/{key}", "200"): 1,
        ("GET", "/v1/experiments/{key}", "404"): 1,
        ("PUT", "/v1/experiments/{key}", "405"): 1,
        ("other", "/v1/experiments/{key}", "405"): 1,
        ("GET", "none", "404"): 2,
        ("GET", "none", "422"): 1,
        ("POST", "/v1/events", "202"): 1,
    }
    assert rose["neonblue_api_request_duration_seconds_count", "POST", "/v1/events"] == 1
    assert 0 < rose["neonblue_api_request_duration_seconds_sum", "POST", "/v1/events"] < 30


def test_a_client_that_hangs_up_in_its_body_is_no_error_of_the_api_and_no_refused_event(alone: Watched) -> None:
    before = alone.samples()
    url = alone.client.base_url
    with socket.create_connection((url.host, url.port), timeout=30) as connection:
        connection.sendall(
            f"POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n"
            'Content-Type: application/json\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n{"user_id"'.encode()
        )
        connection.recv(100)  # told to go on: the route reads the body by now

    @retry(retry=retry_if_exception_type(_NotYet), stop=stop_after_delay(30), wait=wait_fixed(0.05), reraise=True)
    def counted() -> dict[tuple[str, ...], float]:
        rose = alone.change(before)
        if not any(key[0] == "neonblue_api_requests_total" and "/v1/events" in key for key in rose):
            raise _NotYet("the request is not counted")
        return rose

    rose = counted()
    assert rose["neonblue_api_requests_total", "POST", "/v1/events", "499"] == 1
    assert not any(key[0] == "neonblue_api_events_total" for key in rose)


def test_a_pool_in_which_nobody_works_is_free_and_says_how_large_it_is(alone: Watched) -> None:
    for _ in range(3):
        alone.client.get("/v1/experiments")
    found = alone.samples()
    assert found["neonblue_api_pool_connections_in_use",] == 0
    assert found["neonblue_api_pool_connections_limit",] == 10


def test_the_counts_are_told_to_prometheus_and_the_first_token_only(alone: Watched) -> None:
    reader = alone.client.post("/v1/tokens", json={"name": uuid4().hex, "scopes": ["read", "manage"]}).json()["token"]
    statuses = {
        token: alone.client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code
        for token in (METRICS_TOKEN, TOKEN, reader, "x", "x y")
    }
    assert list(statuses.values()) == [200, 200, 401, 401, 401]
    # Who has Prometheus' token can read nothing else.
    reply = alone.client.get("/v1/experiments", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert reply.status_code == 401


def test_several_processes_tell_the_sum_and_a_dead_one_holds_no_connections(
    storage_stack, postgres_url: str, tmp_path: Path
) -> None:
    shared = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "NEONBLUE_METRICS_TOKEN": METRICS_TOKEN}
    with served_api(postgres_url, storage_stack.clickhouse_url, workers=2, **shared) as (address, process):
        watched = Watched(address, process.pid)

        @retry(retry=retry_if_exception_type(_NotYet), stop=stop_after_delay(60), wait=wait_fixed(0.1), reraise=True)
        def await_limit(connections: int) -> None:
            try:
                found = watched.samples()["neonblue_api_pool_connections_limit",]
            except httpx.TransportError as error:  # it had reached the process that ends
                raise _NotYet(str(error)) from error
            if found != connections:
                raise _NotYet(f"{found} connections are allowed, not {connections}")

        await_limit(20)
        for _ in range(40):
            # A connection of its own each, so that both processes get some.
            with httpx.Client(base_url=address, headers=watched.client.headers, transport=ComesBack()) as client:
                assert client.post("/v1/events", json={"user_id": "u", "event_type": "click"}).status_code == 202
        assert watched.samples()["neonblue_api_events_total", "", "accepted"] == 40
        workers = [path.name for path in tmp_path.glob("counter_*.db")]
        assert len(workers) == 2
        killed = int(workers[0].removeprefix("counter_").removesuffix(".db"))
        psutil.Process(killed).kill()
        await_limit(20)  # the one that uvicorn started in its place, and the other
        assert watched.samples()["neonblue_api_events_total", "", "accepted"] == 40
