"""Significance: the effect of each treatment against control, and whether the data can be trusted."""

from collections.abc import Iterator

import dagster as dg

from neonblue_pipeline.resources import Servers, comment


@dg.multi_asset(
    name="significance",
    specs=[
        dg.AssetSpec(
            "experiment_results",
            deps=["user_rollup", "assignments_mv", "experiment_definitions"],
            group_name="results",
            kinds={"clickhouse", "python"},
            description="Effect of each variant by every method: experiment × metric × variant × cut-off.",
        ),
        dg.AssetSpec(
            "experiment_quality",
            deps=["assignments_mv", "experiment_results", "user_days", "user_journeys"],
            group_name="results",
            kinds={"clickhouse", "python"},
            description="Users per variant against the planned split, warnings, decisions: experiment × cut-off.",
        ),
        dg.AssetSpec(
            "experiment_segments",
            deps=["user_rollup", "user_days", "assignments_mv", "experiment_definitions"],
            group_name="results",
            kinds={"clickhouse", "python"},
            description="Effects by device, browser, attributes: experiment × dimension × segment × metric × variant "
            "× cut-off; experiment_dimensions says whether segments differ.",
        ),
    ],
    pool="rollups",
    retry_policy=dg.RetryPolicy(max_retries=2, delay=5),
)
def significance(context: dg.AssetExecutionContext, servers: Servers) -> Iterator[dg.MaterializeResult]:
    """All experiments of which anything changed in one query and a handful of vectorised tests, on all data rolled up.

    The cut-off is the acceptance of an experiment's last fact; without new facts the same rows are written again.
    """
    from neonblue_pipeline import rollup
    from neonblue_pipeline.publication import publish
    from neonblue_pipeline.significance import KINDS, QUALITY_COLUMNS

    with rollup.lock(servers.settings, comment(context)) as clickhouse:
        published = publish(clickhouse)
    cells, tested, judged, seconds = published.cells, published.results, published.quality, published.seconds
    unknown = sorted({cell["kind"] for cell in cells if cell["metric"]} - set(KINDS))
    yield dg.MaterializeResult(
        asset_key="experiment_results", metadata={"rows": len(tested), "kinds_not_computed": unknown, **seconds}
    )
    mismatches = sum(bool(row[QUALITY_COLUMNS.index("sample_ratio_mismatch")]) for row in judged)
    yield dg.MaterializeResult(
        asset_key="experiment_quality",
        metadata={"experiments": len(judged), "sample_ratio_mismatches": mismatches, **seconds},
    )
    yield dg.MaterializeResult(asset_key="experiment_segments", metadata={"rows": published.segments, **seconds})
