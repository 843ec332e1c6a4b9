"""What is looked at all the time: each server and each hop of the way. Probes only read, and know no Dagster.

A probe gives its findings: which thing is in trouble, how bad it is and what to do; and the figures that it looked at,
in trouble or not. One that gets no answer tells so with a finding of its own; what it told before is then neither
confirmed nor healed.
"""

import threading
import time

from neonblue_pipeline.figures import Figure
from neonblue_pipeline.probes import content, stream
from neonblue_pipeline.probes.probe import Finding, Positions, Probe, Seen
from neonblue_pipeline.settings import Settings

__all__ = ["DEADLINE_S", "PROBES", "Finding", "Positions", "Probe", "Seen", "look"]

# A server that is stopped accepts connections and never answers.
DEADLINE_S = 8
PROBES = (
    Probe("api_is_ready", "intake", "the API", stream.api, ("api not ready", "disk nearly full", "disk fills")),
    Probe(
        "slot_is_read",
        "outbox_events",
        "PostgreSQL",
        stream.slot,
        ("slot missing", "slot lost", "slot unread", "slot stands still", "unread wal"),
    ),
    Probe(
        "connector_runs",
        "connector",
        "Kafka Connect",
        stream.tasks,
        ("connector missing", "connector failed", "connector stopped"),
    ),
    Probe(
        "topic_is_read", "landing", "Kafka", stream.topic, ("topic missing", "topic stands still", "unread messages")
    ),
    Probe("tables_are_there", "events_processed", "ClickHouse", stream.tables, ("tables missing",)),
    Probe("every_message_is_read", "dead_letters", "ClickHouse", content.dead_letters, ("dead letters",)),
    Probe("rollups_are_fresh", "user_rollup", "ClickHouse", content.rollups, ("rollup age",)),
    Probe(
        "every_window_is_proven",
        "reconciliation",
        "PostgreSQL",
        content.ledger,
        ("reconciliation gap", "proof overdue"),
    ),
    Probe("users_are_split_as_planned", "experiment_quality", "ClickHouse", content.splits, ("sample ratio",)),
)


def look(settings: Settings, positions: Positions, deadline_s: float = DEADLINE_S) -> list[Seen]:
    """Every probe at once, each for at most `deadline_s`."""
    seen: dict[str, Seen] = {}

    def ask(probe: Probe) -> None:
        try:
            told = probe.look(settings, positions)
            findings = [one for one in told if isinstance(one, Finding)]
            found = Seen(probe, findings, True, [one for one in told if isinstance(one, Figure)])
        # Whatever a client raises is what there is to tell.
        except Exception as error:  # noqa: BLE001
            found = Seen(probe, [_silent(probe, (str(error).strip().splitlines() or [repr(error)])[0][:300])], False)
        seen[probe.check] = found

    threads = [threading.Thread(target=ask, args=(probe,), daemon=True) for probe in PROBES]
    deadline = time.monotonic() + deadline_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = {p.check: Seen(p, [_silent(p, f"no answer within {deadline_s:.0f} s")], False) for p in PROBES}
    return [seen.get(probe.check, late[probe.check]) for probe in PROBES]


def _silent(probe: Probe, error: str) -> Finding:
    return Finding(
        f"{probe.server} silent",
        f"{probe.server} does not answer as it should",
        error,
        "`neonblue status` shows each stage with its log; a part that was killed is started again by itself",
    )
