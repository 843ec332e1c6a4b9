"""Two API processes with one PostgreSQL and one Redis: what they share, and what is left while Redis is away."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event
from uuid import uuid4

import httpx
import pytest
from redis.asyncio import Redis
from tenacity import AsyncRetrying, Retrying, retry_if_result, stop_after_attempt, stop_after_delay, wait_fixed

from neonblue_api.redis_link import PREFIX, Gathered, RedisAway, RedisLink
from neonblue_api.settings import Settings
from tests.fix_client import ComesBack
from tests.integration.api.fix_api import NOBODY, TOKEN, served_api
from tests.integration.api.fix_redis import RedisServer

LOAD = 8
SETTINGS = {
    "NEONBLUE_SESSION_GAP": "1800",
    "NEONBLUE_REDIS_PAUSE": "0.2",
    "NEONBLUE_RATE_LIMITS": "GET /v1/metrics=20/hour",
}


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.kill()


@contextmanager
def _apis(postgres_url: str, redis_url: str, count: int = 2, **settings: str) -> Iterator[list[httpx.Client]]:
    with ExitStack() as opened, ThreadPoolExecutor(count) as pool:
        served = [served_api(postgres_url, NOBODY, NEONBLUE_REDIS_URL=redis_url, **settings) for _ in range(count)]
        clients = []
        for url, _ in pool.map(opened.enter_context, served):
            headers = {"Authorization": f"Bearer {TOKEN}"}
            client = httpx.Client(base_url=url, headers=headers, timeout=30, transport=ComesBack())
            clients.append(opened.enter_context(client))
        yield clients


@pytest.fixture(scope="module")
def pair(postgres_url: str, redis_server: RedisServer) -> Iterator[list[httpx.Client]]:
    with _apis(postgres_url, redis_server.url, **SETTINGS) as clients:
        yield clients


def _redis_of(client: httpx.Client) -> dict:
    return client.get("/readyz").json()["redis"]


def _until(ask, good):
    """What `ask` says once it is good."""
    return Retrying(
        retry=retry_if_result(lambda said: not good(said)), stop=stop_after_delay(30), wait=wait_fixed(0.05)
    )(ask)


def _assign(client: httpx.Client, experiment: str, user: str) -> httpx.Response:
    return client.post(f"/v1/experiments/{experiment}/assignments", json={"user_id": user})


def _told(client: httpx.Client, experiment: str, user: str) -> tuple[str, str]:
    reply = _assign(client, experiment, user)
    assert reply.status_code in (200, 201), reply.text
    return reply.json()["variant_key"], reply.json()["assigned_at"]


def _stored(database, experiment: str) -> dict[str, tuple[str, str]]:
    rows = database.execute(
        """select a.user_id, v.key, utc_text(a.assigned_at) from assignments a join variants v using (variant_id)
           join experiments x on x.experiment_id = a.experiment_id where x.key = %s""",
        (experiment,),
    )
    return {user: (variant, at) for user, variant, at in rows}


def test_both_processes_tell_each_of_200_new_users_what_postgresql_holds(pair, running, database):
    users = [f"{running}-{n}" for n in range(200)]
    asked = list(itertools.product(users, pair))
    with ThreadPoolExecutor(50) as pool:
        for _ in range(2):  # as new users, and again as known ones
            told = list(pool.map(lambda one: (one[0], _told(one[1], running, one[0])), asked))
            stored = _stored(database, running)
            assert sorted(stored) == sorted(users)
            assert all(stored[user] == said for user, said in told)


def test_an_assignment_that_one_process_stored_the_other_finds_in_redis(pair, running, redis_server):
    first, second = pair

    def found_there() -> bool:
        user = f"{running}-{uuid4()}"
        said = _told(first, running, user)
        _told(second, running, f"{user}-other")  # the second knows PostgreSQL's clock
        before = redis_server.client.info("stats")["keyspace_hits"]
        assert _told(second, running, user) == said
        return redis_server.client.info("stats")["keyspace_hits"] >= before + 2

    # On a busy machine the definition may be too old by then, and PostgreSQL is asked.
    _until(found_there, bool)


def test_an_experiment_stopped_by_one_process_takes_nobody_on_the_other(pair, running):
    first, second = pair
    held = _told(second, running, "held")
    assert first.post(f"/v1/experiments/{running}/stop").status_code == 200
    refused = _assign(second, running, "new")
    assert (refused.status_code, refused.json()["code"]) == (409, "experiment_not_running")
    assert _told(second, running, "held") == held


def test_an_experiment_started_by_one_process_takes_users_on_the_other(pair, draft):
    first, second = pair
    assert _assign(second, draft, "u").status_code == 409
    assert first.post(f"/v1/experiments/{draft}/start").status_code == 200
    assert _assign(second, draft, "u").status_code == 201


def test_new_weights_hold_at_once_on_the_other_process(pair, running, database):
    first, second = pair
    _told(second, running, "before")
    body = {"weights": {"a": 0, "b": 1}, "reason": "test"}
    assert first.post(f"/v1/experiments/{running}/phases", json=body).status_code in (200, 201)
    assert {_told(second, running, f"after-{n}")[0] for n in range(20)} == {"b"}


@pytest.mark.parametrize("by", ["route", "statement"])
def test_an_assignment_that_was_deleted_is_told_by_no_process(pair, running, database, by):
    first, second = pair
    for client in pair * 2:
        _told(client, running, "u")
    if by == "route":
        gone = first.delete(f"/v1/experiments/{running}/assignments", params={"user_id": "u"})
        assert gone.status_code == 204
        assert _assign(first, running, "v").status_code == 201
        assert _assign(first, running, "u").status_code == 201  # at once on the process that did it
    else:
        database.execute(
            "delete from assignments where experiment_id = (select experiment_id from experiments where key = %s)",
            (running,),
        )
        _until(lambda: _assign(second, running, "u").status_code, lambda status: status == 201)
    stored = _stored(database, running)["u"]
    for client in pair:
        assert _until(lambda c=client: _told(c, running, "u"), lambda said: said == stored)


def test_what_lay_in_redis_while_it_stood_still_is_not_believed(pair, running, redis_server):
    first, _ = pair
    said = _told(first, running, "u")
    name = f"{PREFIX}definition:{running}"
    text = _until(lambda: (_told(first, running, "u"), redis_server.client.get(name))[1], bool)
    definition = json.loads(text)
    definition[-1] -= 3_600  # as old as if Redis had been frozen for an hour
    definition[-2] = "another fence"
    redis_server.client.set(name, json.dumps(definition), ex=60)
    for found in redis_server.client.scan_iter(f"{PREFIX}assignment:*"):
        redis_server.client.set(found, json.dumps(["another fence", "no such variant", said[1]]), ex=60)
    for n in range(20):
        assert _told(first, running, "u") == said
        assert _told(pair[1], running, "u") == said
        assert _told(pair[n % 2], running, f"{n}")[0] in ("a", "b")


def test_redis_holds_no_id_of_a_user(pair, running, redis_server):
    user = f"somebody-{uuid4()}"
    for client in pair * 3:
        _told(client, running, user)
        client.post("/v1/events", json={"user_id": user, "event_type": "x", "experiment": running})
    kept = {name: redis_server.client.get(name) for name in redis_server.client.scan_iter() if b"rate" not in name}
    assert any(name.startswith(f"{PREFIX}session".encode()) for name in kept)
    assert any(name.startswith(f"{PREFIX}assignment".encode()) for name in kept)
    assert not any(user.encode() in name + (value or b"") for name, value in kept.items())
    assert all(redis_server.client.ttl(name) != -1 for name in kept)


@pytest.mark.parametrize("stroke", ["frozen", pytest.param("killed", marks=pytest.mark.nightly)])
def test_with_redis_away_under_load_every_reply_is_what_postgresql_holds(
    postgres_url, running, redis_server, database, stroke
):
    mended = Event()
    # The pause is longer than the test: whoever asked Redis again would be counted.
    with _apis(postgres_url, redis_server.url, NEONBLUE_REDIS_PAUSE="600") as clients:
        for client in clients:
            assert _redis_of(client)["left_alone"] == 0

        def ask(number: int) -> list[tuple[str, tuple[str, str]]]:
            told = []
            for n in itertools.count():
                for client in clients:
                    user = f"{running}-{stroke}-{(number + n) % 50}"
                    told.append((user, _told(client, running, user)))
                if n >= 30 and mended.is_set():
                    return told

        try:
            with ThreadPoolExecutor(LOAD) as pool:
                asking = [pool.submit(ask, number) for number in range(LOAD)]
                redis_server.suspend() if stroke == "frozen" else redis_server.kill()
                _until(lambda: [_redis_of(client)["answers"] for client in clients], lambda said: said == [False] * 2)
                mended.set()
                told = [pair for one in asking for pair in one.result()]
            after = [_redis_of(client) for client in clients]
        finally:
            redis_server.resume() if stroke == "frozen" else redis_server.start()
        stored = _stored(database, running)
        assert all(stored[user] == said for user, said in told)
        # Left alone once, and nobody waited but those who were at it when it fell silent.
        assert [said["left_alone"] for said in after] == [1, 1]
        assert all(said["unanswered"] <= LOAD for said in after)


def _link(url: str) -> RedisLink:
    servers = {"postgres_url": "postgresql://h/d", "clickhouse_url": NOBODY, "api_token": TOKEN}
    return RedisLink(Settings(**servers, redis_url=url, redis_pause=0.1))


async def _until_it_answers(link: RedisLink) -> None:
    async def answers() -> bool:
        return link.answers

    waiting = retry_if_result(lambda said: not said)
    await AsyncRetrying(retry=waiting, stop=stop_after_delay(30), wait=wait_fixed(0.05))(answers)


def test_redis_that_comes_back_is_asked_again_and_one_that_is_not_there_is_left_alone():
    server = RedisServer()

    async def live() -> None:
        link = _link(server.url)
        await link.start()
        assert (link.answers, link.openings) == (False, 1)
        with pytest.raises(RedisAway):
            await link.call(lambda client: client.get("x"))
        for told in (2, 3):
            server.start()
            await _until_it_answers(link)
            assert await link.call(lambda client: client.get("x")) is None
            server.kill()
            with pytest.raises(RedisAway):
                await link.call(lambda client: client.get("x"))
            assert (link.answers, link.openings) == (False, told)
        await link.close()

    try:
        asyncio.run(live())
    finally:
        server.kill()


def test_a_redis_that_answers_too_late_is_left_alone_by_all_who_wait(redis_server):
    async def live() -> None:
        link = _link(redis_server.url)
        await link.start()

        async def slow(client: Redis, questions: list[int]) -> list[int]:
            await client.blpop(["nothing comes here"], 1)
            return questions

        gathered = Gathered(link, slow)
        said = await asyncio.gather(*(gathered.ask(n) for n in range(100)), return_exceptions=True)
        assert all(isinstance(one, RedisAway) for one in said)
        assert (link.answers, link.openings) == (False, 1)
        await _until_it_answers(link)
        await link.close()

    asyncio.run(live())


def test_a_wrong_password_is_told_without_it(redis_server):
    async def live() -> dict:
        link = _link(f"redis://:wrong-secret@127.0.0.1:{redis_server.port}/0")
        await link.start()
        said = link.state()
        await link.close()
        return said

    said = asyncio.run(live())
    assert not said["answers"]
    assert "AuthenticationError" in said["trouble"]
    assert "wrong-secret" not in said["trouble"]


def _undisturbed(sent):
    """What was said by the first of some attempts in which Redis answered throughout: on a busy machine it may not."""
    waiting = retry_if_result(lambda said: not said[1])
    return Retrying(retry=waiting, stop=stop_after_attempt(20), wait=wait_fixed(0.5))(sent)


def _limited(client: httpx.Client, name: str, scope: str = "read") -> dict[str, str]:
    """A header with a token of its own."""
    token = client.post("/v1/tokens", json={"name": f"{name}-{uuid4()}", "scopes": [scope]}).json()["token"]
    return {"Authorization": f"Bearer {token}"}


def test_two_processes_count_the_requests_of_a_token_together(pair, name):
    def sent() -> tuple[list[httpx.Response], bool]:
        headers = _limited(pair[0], name)
        before = [_redis_of(client) for client in pair]
        turns = itertools.islice(itertools.cycle(pair), 30)
        replies = [client.get("/v1/metrics", headers=headers) for client in turns]
        return replies, before == [_redis_of(client) for client in pair] and all(said["answers"] for said in before)

    replies, _ = _undisturbed(sent)
    assert [reply.status_code for reply in replies] == [200] * 20 + [429] * 10
    first, refused = replies[0], replies[-1]
    assert first.headers["RateLimit-Policy"] == '"default";q=20;w=3600'
    assert first.headers["RateLimit"].startswith('"default";r=19;t=')
    assert refused.headers["RateLimit"].startswith('"default";r=0;t=')
    assert (refused.json()["code"], refused.headers["Content-Type"]) == ("rate_limited", "application/problem+json")
    assert int(refused.headers["Retry-After"]) >= 1
    # The limit is the token's and the route's.
    assert pair[0].get("/v1/metrics", headers=_limited(pair[0], name)).status_code == 200
    assert "RateLimit" not in pair[0].get("/v1/experiments").headers


def test_requests_of_one_token_that_come_together_pass_up_to_the_limit(pair, name):
    def sent() -> tuple[Counter, bool]:
        headers = _limited(pair[0], name)
        before = _redis_of(pair[0])
        with ThreadPoolExecutor(30) as pool:
            replies = Counter(pool.map(lambda _: pair[0].get("/v1/metrics", headers=headers).status_code, range(60)))
        return replies, before == _redis_of(pair[0]) and before["answers"]

    counted, _ = _undisturbed(sent)
    assert counted == {200: 20, 429: 40}


def test_without_redis_a_process_limits_by_itself(postgres_url, running, name):
    limits = "POST /v1/events=3/hour, POST /v1/experiments/{key}/assignments=1/hour, *=2/hour"
    with _apis(postgres_url, "", count=1, NEONBLUE_RATE_LIMITS=limits) as (client,):
        assert _redis_of(client) is None
        event = {"user_id": name, "event_type": "x"}
        assert [client.post("/v1/events", json=event).status_code for _ in range(5)] == [202] * 3 + [429] * 2
        assert [_assign(client, running, "u").status_code for _ in range(2)] == [201, 429]
        assert [client.get("/v1/metrics").status_code for _ in range(3)] == [200, 200, 429]
        assert client.get("/v1/experiments").status_code == 200  # each other route has a count of its own
        wrong = client.get("/v1/metrics", headers={"Authorization": "Bearer unknown-token-of-nobody"})
        assert wrong.status_code == 401
        for spelled in (f"bearer {TOKEN}", f"BEARER {TOKEN}", f"Bearer  {TOKEN}"):
            reply = client.get("/v1/metrics", headers={"Authorization": spelled})
            assert (reply.status_code, reply.json()["code"]) == (429, "rate_limited"), spelled


def _session(client: httpx.Client, user: str) -> str | None:
    return client.get("/v1/events", params={"user_id": user, "limit": 1}).json()["items"][0]["session_id"]


def _event(user: str, **fields: str) -> dict[str, str]:
    return {"id": str(uuid4()), "user_id": user, "event_type": "x"} | fields


def test_a_user_has_one_session_whichever_process_the_events_reach(pair, name):
    def told() -> set[str | None]:
        user = f"{name}-{uuid4()}"
        said = set()
        for client in pair * 2:
            assert client.post("/v1/events", json=_event(user)).status_code == 202
            said.add(_session(client, user))
        batch = [_event(user) for _ in range(3)]
        assert pair[1].post("/v1/events/batch", json={"events": batch}).json()["accepted"] == 3
        return said | {_session(pair[1], user)}

    # Where Redis is not answered in time, a process goes on by itself.
    (session,) = _until(told, lambda said: len(said) == 1)
    assert session is not None
    assert session.startswith("nb-")


def test_an_event_sent_again_in_another_session_is_a_duplicate(pair, name):
    event = _event(name)
    assert pair[0].post("/v1/events", json=event).json()["outcome"] == "accepted"
    session = _session(pair[0], name)
    assert pair[0].post("/v1/events", json=_event(name, session_id="theirs")).status_code == 202
    assert pair[0].post("/v1/events", json=event).json()["outcome"] == "duplicate"
    assert pair[0].post("/v1/events", json=_event(name)).status_code == 202
    assert pair[0].post("/v1/events", json=event | {"session_id": "another"}).status_code == 409
    stored = pair[0].get("/v1/events", params={"user_id": name}).json()["items"]
    assert [item["session_id"] for item in stored] == ["theirs", "theirs", session]


def test_without_the_setting_an_event_keeps_no_session(client, name):
    assert client.post("/v1/events", json=_event(name)).status_code == 202
    assert _session(client, name) is None
