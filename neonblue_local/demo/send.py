"""The demo as a client of the API: creates the experiment and sends what the players did, safely again after a cut."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from itertools import islice

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

from neonblue_local.api_client import client
from neonblue_local.demo.players import CONTROL, EXPERIMENT, METRICS, RUN_LENGTH, TREATMENT, utc_text
from neonblue_local.errors import LocalError

BATCH_SIZE = 1_000
SENDERS = 2
GIVE_UP_S = 120


class DemoError(LocalError):
    """The demo cannot go on; the message says what was found and the way out."""


class Sender:
    """Sends to the API and waits through a restart of it: every request here is safe to repeat."""

    def __init__(self, api_url: str, token: str, say: Callable[[str], None]) -> None:
        self._client = client(api_url, token, 30)
        self._say = say

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def request(self, method: str, path: str, body: object = None, allowed: tuple[int, ...] = ()) -> httpx.Response:
        """The reply; statuses of 400 and above raise DemoError unless they are in `allowed`."""
        patience = Retrying(
            retry=retry_if_exception(_is_passing),
            wait=wait_exponential_jitter(initial=0.2, max=3),
            stop=stop_after_delay(GIVE_UP_S),
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            reply = patience(self._try, method, path, body)
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            raise DemoError(
                f"{method} {path}: the API did not answer for {GIVE_UP_S} s ({error}); `neonblue status` shows what is "
                "down; after `neonblue up` the demo can be run again and goes on where it was"
            ) from error
        if reply.is_error and reply.status_code not in allowed:
            raise DemoError(f"{method} {path}: the API answered {reply.status_code}: {reply.text[:500]}")
        return reply

    def _try(self, method: str, path: str, body: object) -> httpx.Response:
        reply = self._client.request(method, path, json=body)
        if reply.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            reply.raise_for_status()
        return reply

    def _tell(self, state: RetryCallState) -> None:
        if state.attempt_number in (3, 10, 30):
            error = state.outcome.exception() if state.outcome else None
            self._say(f"the API does not answer ({error}); trying again, nothing is lost")

    def create_experiment(self) -> datetime:
        """Creates metrics and experiment where they are missing and starts it. Returns the start of its run."""
        for metric in METRICS:
            self.request("POST", "/v1/metrics", metric, allowed=(409,))
        self.request(
            "POST",
            "/v1/experiments",
            {
                "key": EXPERIMENT,
                "name": "Cookie Cats: first gate at level 30 or 40",
                "variants": [
                    {"key": CONTROL, "weight": 0.5, "is_control": True},
                    {"key": TREATMENT, "weight": 0.5, "is_control": False},
                ],
                "metrics": [metric["key"] for metric in METRICS],
            },
            allowed=(409,),
        )
        experiment = self.request("GET", f"/v1/experiments/{EXPERIMENT}").json()
        used = [metric["key"] for metric in experiment["metrics"]]
        if used != [metric["key"] for metric in METRICS]:
            found = ", ".join(used) or "nothing"
            raise DemoError(
                f"experiment {EXPERIMENT!r} exists and measures {found}: it is not the demo's; run "
                "the demo on a stack of its own (NEONBLUE_HOME, NEONBLUE_PORT_BASE), or delete all data with "
                "`neonblue reset`"
            )
        if experiment["status"] == "draft":
            start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - RUN_LENGTH
            experiment = self.request(
                "POST", f"/v1/experiments/{EXPERIMENT}/start", {"started_at": utc_text(start)}
            ).json()
        return datetime.fromisoformat(experiment["started_at"])

    def send_all(self, path: str, field: str, facts: Iterable[dict], done: Callable[[int], None]) -> None:
        """Posts `facts` in batches; `done` is told the number acknowledged after each. A refused fact is an error."""
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="send") as pool:
            under_way: set[Future[int]] = set()
            for batch in _batches(facts):
                if len(under_way) > SENDERS:
                    under_way = _collect(under_way, done)
                under_way.add(pool.submit(self._post, path, field, batch))
            while under_way:
                under_way = _collect(under_way, done)

    def _post(self, path: str, field: str, batch: list[dict]) -> int:
        reply = self.request("POST", path, {field: batch}).json()
        if reply["rejected"]:
            raise DemoError(f"POST {path}: {len(reply['rejected'])} refused, the first: {reply['rejected'][0]}")
        return len(batch)


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, httpx.TransportError | httpx.HTTPStatusError)


def _batches(facts: Iterable[dict]) -> Iterator[list[dict]]:
    iterator = iter(facts)
    while batch := list(islice(iterator, BATCH_SIZE)):
        yield batch


def _collect(under_way: set[Future[int]], done: Callable[[int], None]) -> set[Future[int]]:
    finished, rest = wait(under_way, return_when=FIRST_COMPLETED)
    for future in finished:
        done(future.result())
    return rest
