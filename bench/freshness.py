"""Seconds from the API's 202 to the event being queryable in events_processed, and the memory of the stack.

    .venv/bin/python -m bench.freshness --events 200

Needs a running stack (NEONBLUE_HOME). One event at a time, at random moments, each asked for until it is there: what a
user sees at low load. The asking itself (every 5 ms, and about 3 ms a query) is part of the figure.
"""

import argparse
import random
import time
from uuid import uuid4

import clickhouse_connect
import httpx
import numpy as np
import psutil

from neonblue_local import environment
from neonblue_local.home import Home

GIVE_UP_S = 30
LOOK_EVERY_S = 0.005  # asking without a pause takes a core from what is measured


def measure(home: Home, events: int) -> np.ndarray:
    """Milliseconds from reply to visibility, shape (events,)."""
    url, token = (environment.setting(home, f"NEONBLUE_API_{name}") for name in ("URL", "TOKEN"))
    clickhouse = clickhouse_connect.get_client(
        dsn=environment.setting(home, "NEONBLUE_CLICKHOUSE_URL"), database="experiments_analytics"
    )
    waited_ms = []
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as api:
        for _ in range(events):
            time.sleep(random.uniform(0.05, 0.25))  # noqa: S311 - away from the beat of the consumer's polls
            event = {"id": str(uuid4()), "user_id": f"bench-{uuid4()}", "event_type": "freshness", "properties": {}}
            reply = api.post("/v1/events", json=event)
            acknowledged = time.perf_counter()
            reply.raise_for_status()
            query = "select count() from events_processed where user_id = {user:String}"
            while not clickhouse.query(query, parameters={"user": event["user_id"]}).result_rows[0][0]:
                if time.perf_counter() - acknowledged > GIVE_UP_S:
                    raise SystemExit(f"event {event['id']} is not in events_processed after {GIVE_UP_S} s")
                time.sleep(LOOK_EVERY_S)
            waited_ms.append((time.perf_counter() - acknowledged) * 1e3)
    return np.array(waited_ms)


def memory_mb(home: Home) -> float:
    """Proportional set size of every process of the stack, in MB; shared pages count once."""
    total = 0
    for process in psutil.process_iter():
        try:
            if process.environ().get("NEONBLUE_HOME") == str(home.root) or str(home.root) in " ".join(
                process.cmdline()
            ):
                total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return total / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200)
    arguments = parser.parse_args()
    stack = Home.from_environment()
    waited = measure(stack, arguments.events)
    print(
        f"202 to queryable, {len(waited)} events one at a time: median {np.median(waited):.0f} ms, "
        f"p99 {np.percentile(waited, 99):.0f} ms, longest {waited.max():.0f} ms"
    )
    print(f"memory of the stack: {memory_mb(stack):,.0f} MB")
