"""Rollups: what is counted ahead from the deduplicated events, for the days that changed."""

from collections.abc import Iterator

import dagster as dg

from neonblue_pipeline import rollup
from neonblue_pipeline.resources import Servers, comment

_READS = ["events_processed", "assignments_mv", "experiment_definitions", "dirty_windows", "rollup_tables"]
_ABOUT = {
    "user_rollup": "What each user did for each metric on each day.",
    "hourly_metrics": "Events, users and value per variant, hour and event type.",
    "daily_metrics": "Events, users and value per variant, day and event type.",
    "user_journeys": "What each user did on each day, step by step.",
    "user_days": "On what each user came on each day, and how many of the events have a doubtful clock.",
}


class Extent(dg.Config):
    """of_all: summary and results of all experiments are made again, also of those of which nothing changed."""

    of_all: bool = False


@dg.multi_asset(
    name="rollups",
    specs=[
        *(
            dg.AssetSpec(name, deps=_READS, group_name="rollups", kinds={"clickhouse"}, description=about)
            for name, about in _ABOUT.items()
        ),
        dg.AssetSpec(
            "experiment_summary",
            deps=["user_journeys", "assignments_mv"],
            group_name="rollups",
            kinds={"clickhouse"},
            description="Each variant as a whole.",
        ),
    ],
    pool="rollups",
    retry_policy=dg.RetryPolicy(max_retries=2, delay=5),
)
def rollups(context: dg.AssetExecutionContext, config: Extent, servers: Servers) -> Iterator[dg.MaterializeResult]:
    """Builds every rollup again for the UTC days that changed since the last build, for all experiments at once.

    Late events, late assignments and changed definitions make their days dirty. A day is built in staging from the
    deduplicated rows and swapped in whole; rerunning gives the same rows. What users did in the days before they were
    assigned is added to those days, which stand as they are.
    """
    settings = servers.settings
    with rollup.lock(settings, comment(context)) as clickhouse:
        rolled = rollup.build(clickhouse, settings, of_all=config.of_all)
    days = sorted(rolled.days)
    context.log.info(
        "built %d days, %d attributed events in %.2f s", len(days), rolled.attributed_events, rolled.seconds
    )
    for name in (*_ABOUT, rollup.SUMMARY):
        yield dg.MaterializeResult(
            asset_key=name,
            metadata={
                "rows": rolled.rows.get(name, 0),
                "windows": len(days),
                "days": [f"{day}: {', '.join(rolled.days[day])}" for day in days[:100]],
                "attributed_events": rolled.attributed_events,
                "rows_of_history_added": rolled.histories,
                "marks_left": rolled.marks_left,
                "seconds": round(rolled.seconds, 3),
            },
        )
