"""Alarms: what is broken since when; each newly broken and each newly healed thing is told once. Knows no Dagster.

A trouble is told when it lasts (`alarm_lasts_s`), so that a part that is started again makes no noise, and healed when
it has been gone for as long. State and messages are in PostgreSQL (sql/postgres/098_alarms): a message is written in
the transaction that changes the alarm, and sent to each destination until that took it.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from neonblue_pipeline import locks
from neonblue_pipeline.errors import NotifyError
from neonblue_pipeline.notify import Destination, destinations
from neonblue_pipeline.probes import Finding
from neonblue_pipeline.settings import Settings

log = logging.getLogger("neonblue.alarms")
_COLUMNS = "key, what, how_bad, cure, serious, since, seen_at, told_at, healed_at"
_KEEP_DAYS = 90


@dataclass(frozen=True)
class Alarm:
    """One trouble as it is kept; times are UTC. `healed_at` is None while it lasts."""

    key: str
    what: str
    how_bad: str
    cure: str
    serious: bool
    since: datetime
    seen_at: datetime
    told_at: datetime | None
    healed_at: datetime | None

    def __str__(self) -> str:
        if self.healed_at:
            lasted = (self.healed_at - self.since).total_seconds()
            return f"{self.what}: well again after {lasted:,.0f} s; it was: {self.how_bad}"
        return (
            f"{self.what}\n  since: {self.since:%Y-%m-%d %H:%M:%S} UTC\n  how bad: {self.how_bad}"
            f"\n  what to do: {self.cure}"
        )


@dataclass(frozen=True)
class Change:
    """What is newly broken and newly healed by one look."""

    broken: Sequence[Alarm] = ()
    healed: Sequence[Alarm] = ()


def record(settings: Settings, findings: Mapping[str, Sequence[Finding]], silent: Sequence[str] = ()) -> Change:
    """Keeps what was found by each probe, and returns what is newly broken and newly healed.

    Args:
        findings: name of a probe → what it found now. A trouble that another probe found, too, is kept once.
        silent: probes that could not look: what they told before stays open.
    """
    with psycopg.connect(settings.postgres_url, connect_timeout=5) as postgres:
        postgres.read_only = False  # told even while a restore is not over
        if not locks.try_take_in_transaction(postgres, "alarms"):
            return Change()  # another process looks just now
        for probe, found in findings.items():
            for finding in found:
                _see(postgres, probe, finding)
        change = Change(_newly_broken(postgres, settings), _newly_healed(postgres, settings, silent))
        for kind, alarms in (("broken", change.broken), ("healed", change.healed)):
            if alarms:
                _write_messages(postgres, kind, alarms, destinations(settings))
        postgres.execute("delete from alarm_messages where created_at < now() - %s * interval '1 day'", (_KEEP_DAYS,))
        postgres.execute("delete from alarms where healed_at < now() - %s * interval '1 day'", (_KEEP_DAYS,))
    for alarm in change.broken:
        log.warning("broken: %s", alarm)
    for alarm in change.healed:
        log.warning("healed: %s", alarm)
    return change


def deliver(settings: Settings) -> int:
    """Sends each destination what it has not taken yet, the oldest first; returns how many messages were taken."""
    sent = 0
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=5) as postgres:
        postgres.execute("set default_transaction_read_only = off")  # as in `record`
        for destination in destinations(settings):
            try:
                sent += _deliver(postgres, destination)
            except NotifyError as error:
                log.warning("%s", error)
    return sent


def read(settings: Settings, *, everything: bool = False, limit: int = 100) -> list[Alarm]:
    """Alarms that were told and last, the newest first; with `everything` those that are over, too."""
    with psycopg.connect(settings.postgres_url, connect_timeout=5) as postgres:
        cursor = postgres.cursor(row_factory=class_row(Alarm))
        return cursor.execute(
            f"""select {_COLUMNS} from alarms where told_at is not null and (%s or healed_at is null)
                order by since desc limit %s""".encode(),  # noqa: S608
            (everything, limit),
        ).fetchall()


def _see(postgres: "psycopg.Connection[Any]", probe: str, finding: Finding) -> None:
    postgres.execute(
        """insert into alarms (key, probe, what, how_bad, cure, serious, since, seen_at)
           values (%s, %s, %s, %s, %s, %s, now(), now())
           on conflict (key) where healed_at is null do update
           set what = excluded.what, how_bad = excluded.how_bad, cure = excluded.cure, seen_at = now()""",
        (finding.key, probe, finding.what, finding.how_bad, finding.cure, finding.serious),
    )


def _newly_broken(postgres: "psycopg.Connection[Any]", settings: Settings) -> list[Alarm]:
    cursor = postgres.cursor(row_factory=class_row(Alarm))
    return cursor.execute(
        f"""update alarms set told_at = now()
            where healed_at is null and told_at is null and seen_at = now()
              and since <= now() - %s * interval '1 second'
            returning {_COLUMNS}""".encode(),  # noqa: S608
        (settings.alarm_lasts_s,),
    ).fetchall()


def _newly_healed(postgres: "psycopg.Connection[Any]", settings: Settings, silent: Sequence[str]) -> list[Alarm]:
    over = "healed_at is null and seen_at <= now() - %s * interval '1 second' and seen_at < now() and probe <> all(%s)"
    bounds = (settings.alarm_lasts_s, list(silent))
    # Nobody was told of what was there for a moment only.
    postgres.execute(f"delete from alarms where told_at is null and {over}".encode(), bounds)  # noqa: S608
    cursor = postgres.cursor(row_factory=class_row(Alarm))
    return cursor.execute(
        f"update alarms set healed_at = now() where {over} returning {_COLUMNS}".encode(),  # noqa: S608
        bounds,
    ).fetchall()


def _write_messages(
    postgres: "psycopg.Connection[Any]", kind: str, alarms: Sequence[Alarm], to: Sequence[Destination]
) -> None:
    """One message a look and kind, however many things broke with one cause."""
    title = f"NeonBlue: {kind}: {alarms[0].what}" + (f", and {len(alarms) - 1} more" if len(alarms) > 1 else "")
    body = "\n\n".join(str(alarm) for alarm in alarms)
    for destination in to:
        postgres.execute(
            "insert into alarm_messages (destination, kind, title, body, created_at) values (%s, %s, %s, %s, now())",
            (destination.fingerprint, kind, title, body),
        )


def _deliver(postgres: "psycopg.Connection[Any]", destination: Destination) -> int:
    """Holds a lock for the destination, so that no two processes send the same message. Raises NotifyError."""
    lock = f"alarm {destination.fingerprint}"
    if not locks.try_take(postgres, lock):
        return 0
    try:
        waiting = postgres.execute(
            """select message_id, kind, title, body from alarm_messages
               where destination = %s and sent_at is null order by message_id""",
            (destination.fingerprint,),
        ).fetchall()
        for message_id, kind, title, body in waiting:
            destination.send(title, body, healed=kind == "healed")
            postgres.execute("update alarm_messages set sent_at = now() where message_id = %s", (message_id,))
        return len(waiting)
    finally:
        locks.give_back(postgres, lock)
