"""Facts as they were accepted on an earlier day: the functions of intake with another clock."""

import json
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import uuid4

import psycopg

_CLOCK = """
create schema if not exists earlier;
create or replace function earlier.begin_intake() returns timestamptz language plpgsql as $$
begin return current_setting('earlier.now')::timestamptz; end $$;
"""


class Past:
    """One session of PostgreSQL in which it is ten o'clock on that day."""

    def __init__(self, postgres: "str | psycopg.Connection[Any]", day: date) -> None:
        self._connection = psycopg.connect(postgres, autocommit=True) if isinstance(postgres, str) else postgres
        self._connection.execute("select ensure_day_partitions(%s, 1)", (day,))
        self._connection.execute(_CLOCK)
        now = datetime.combine(day, time(10), UTC).isoformat()
        self._connection.execute("select set_config('earlier.now', %s, false)", (now,))
        self._connection.execute("set search_path = earlier, public")

    def over(self) -> None:
        """The session's clock is right again."""
        self._connection.execute("set search_path = public")

    def events(self, user: str, number: int) -> list[dict[str, Any]]:
        """Accepts so many clicks; returns them as they were sent."""
        events = [
            {"id": str(uuid4()), "user_id": user, "event_type": "click", "timestamp": "2026-01-02T10:00:00.000000Z",
             "experiment": None, "properties": {"value": n}, "session_id": None, "request_id": None}
            for n in range(number)
        ]  # fmt: skip
        assert self._connection.execute("select * from accept_events(%s)", (json.dumps(events),)).fetchall() == []
        return events

    def assignment(self, experiment: str, user: str) -> None:
        batch = [
            {"experiment": experiment, "user_id": user, "variant_key": "new", "assigned_at": "2026-01-02T00:00:00Z",
             "source": "test", "attributes": {}, "request_id": None}
        ]  # fmt: skip
        row = self._connection.execute("select outcome from accept_assignments(%s)", (json.dumps(batch),)).fetchone()
        assert row == ("created",)

    def experiment(self) -> str:
        """The key of a running experiment with the variants control and new."""
        key = f"x-{uuid4().hex[:12]}"
        self._connection.execute(
            """with x as (insert into experiments (key, name, seed, status, started_at)
                          values (%s, '', 's', 'running', '2026-01-01') returning experiment_id)
               insert into variants (experiment_id, key, weight, is_control, position)
               select experiment_id, v.key, 0.5, v.key = 'control', v.position
               from x, (values ('control', 0), ('new', 1)) as v (key, position)""",
            (key,),
        )
        self._connection.execute("select publish_experiment(experiment_id) from experiments where key = %s", (key,))
        return key

    def close(self) -> None:
        self._connection.close()
