"""Repair by hand or by sensor: the stream brought back, a span sent again."""

import dagster as dg
from pydantic import Field

from neonblue_pipeline import recovery, replay
from neonblue_pipeline.replay import Healed
from neonblue_pipeline.resources import Servers


class Span(dg.Config):
    """What to send again: created_at in ISO 8601, UTC."""

    start: str
    until: str
    source: str = "outbox"
    types: list[str] = Field(default_factory=lambda: list(replay.TYPES))


@dg.asset(
    group_name="recovery", kinds={"postgres", "kafka"}, deps=["outbox_events", "connector"], pool="reconciliation"
)
def replayed_span(config: Span, servers: Servers) -> dg.MaterializeResult:
    """Sends what was accepted in a span again; safe to repeat, as every reader collapses what comes twice.

    From `outbox` it takes the whole way through Debezium and Kafka, from `landing` only the views behind it.
    """
    start, until = (replay.moment(text) for text in (config.start, config.until))
    rows = replay.replay(servers.settings, start, until, config.source, config.types)
    return dg.MaterializeResult(metadata={"rows": rows, "source": config.source})


@dg.asset(
    group_name="recovery",
    kinds={"postgres", "kafka", "debezium", "clickhouse"},
    pool="reconciliation",
    check_specs=[dg.AssetCheckSpec("nothing_is_missing", asset="recovered_stream")],
)
def recovered_stream(context: dg.AssetExecutionContext, servers: Servers) -> dg.MaterializeResult:
    """Slot, topic, tables: what is broken is made again, and what was lost with it is sent again.

    Rerunning on a sound stream compares everything that is kept, and changes nothing.
    """
    healed = recovery.recover(servers.settings, context.log.warning)
    return dg.MaterializeResult(
        metadata=told(healed),
        check_results=[
            dg.AssetCheckResult(
                passed=not healed.left,
                check_name="nothing_is_missing",
                severity=dg.AssetCheckSeverity.ERROR,
                metadata=told(healed),
                description=str(healed.left[0]) if healed.left else None,
            )
        ],
    )


def told(healed: Healed) -> dict[str, dg.MetadataValue]:
    """What a repair found and did, as metadata of a run."""
    return {
        "unequal_windows": dg.MetadataValue.int(len(healed.unequal)),
        "sent_again_from_outbox": dg.MetadataValue.int(healed.resent),
        "sent_again_from_landing": dg.MetadataValue.int(healed.derived),
        "rollup_days_marked": dg.MetadataValue.int(len(healed.days)),
        "still_unequal": dg.MetadataValue.json([str(window) for window in healed.left[:100]]),
        "behind": dg.MetadataValue.text(healed.behind or ""),
    }
