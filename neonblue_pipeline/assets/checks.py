"""Asset checks: what the probes find now, users seen in several variants, and whether the audit log is whole."""

from collections.abc import Iterator

import dagster as dg

from neonblue_pipeline import audit, probes
from neonblue_pipeline.resources import Servers

CROSSED_CHECK = "one_variant_a_user"
_HEAD = "end of the log"


@dg.multi_asset_check(
    specs=[dg.AssetCheckSpec(probe.check, asset=probe.asset) for probe in probes.PROBES],
    name="probes_find_nothing",
    can_subset=True,
)
def probes_find_nothing(context: dg.AssetCheckExecutionContext, servers: Servers) -> Iterator[dg.AssetCheckResult]:
    """Every probe once; the sensor `alarms` looks more often, and shows a check here when it changes."""
    wanted = {key.name for key in context.selected_asset_check_keys}
    for seen in probes.look(servers.settings, probes.Positions()):
        if seen.probe.check not in wanted:
            continue
        told = evaluation(seen)
        yield dg.AssetCheckResult(
            asset_key=told.asset_key,
            check_name=told.check_name,
            passed=told.passed,
            severity=told.severity,
            description=told.description,
            metadata=told.metadata,
        )


@dg.asset_check(asset="experiment_quality", name=CROSSED_CHECK)
def one_variant_a_user(context: dg.AssetCheckExecutionContext, servers: Servers) -> dg.AssetCheckResult:
    """Of no running experiment more than one user in a hundred was seen in several variants."""
    from neonblue_stats.trust import crossed_users

    with servers.clickhouse(f"dagster run {context.run.run_id} check {CROSSED_CHECK}") as clickhouse:
        running = clickhouse.rows("select experiment_id from experiment_definitions where status = 'running'")
        rows = clickhouse.read("users_in_several_variants", experiments=[experiment for (experiment,) in running])
    too_many = crossed_users([row["crossed"] for row in rows], [row["users"] for row in rows]).too_many
    told = [
        f"experiment '{row['experiment']}': {row['crossed']:,} of {row['users']:,}"
        for row, much in zip(rows, too_many, strict=True)
        if much
    ]
    return dg.AssetCheckResult(
        passed=not told,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"users seen in several variants: {'; '.join(told[:20])}" if told else None,
        metadata={"experiments": len(rows), "users": sum(row["crossed"] for row in rows)},
    )


@dg.asset_check(asset="audit_log", name="audit_log_is_whole")
def audit_log_is_whole(context: dg.AssetCheckExecutionContext, servers: Servers) -> dg.AssetCheckResult:
    """Every entry is what was written, and the end that was seen last time is still in the log.

    That end is kept with this check's evaluations, in another database than the log.
    """
    proof = audit.verify(servers.settings, _head_seen_last(context, servers))
    metadata: dict[str, str | int] = {"entries": proof.entries, "blanked": proof.blanked}
    if proof.head is not None:
        metadata[_HEAD] = str(proof.head)
    if proof.broken is None:
        return dg.AssetCheckResult(passed=True, metadata=metadata)
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"audit log, entry {proof.broken.number}: {proof.broken.what}",
        metadata=metadata,
    )


def _head_seen_last(context: dg.AssetCheckExecutionContext, servers: Servers) -> audit.Head | None:
    """The end at the last time that the log was whole. A restore, which the log tells of, brings an older end back."""
    with servers.postgres() as postgres:
        restored_at = audit.restored_at(postgres)
    key = dg.AssetCheckKey(dg.AssetKey("audit_log"), "audit_log_is_whole")
    for seen in context.instance.event_log_storage.get_asset_check_execution_history(key, limit=100):
        if restored_at is not None and seen.create_timestamp < restored_at.timestamp():
            return None
        found = seen.evaluation
        # The run that asks is in the history, too: as planned.
        if isinstance(found, dg.AssetCheckEvaluation) and found.passed and _HEAD in found.metadata:
            return audit.read_head(str(found.metadata[_HEAD].value))
    return None


def evaluation(seen: probes.Seen) -> dg.AssetCheckEvaluation:
    """What a probe found, as its asset check shows it."""
    serious = any(finding.serious for finding in seen.findings)
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(seen.probe.asset),
        check_name=seen.probe.check,
        passed=not seen.findings,
        severity=dg.AssetCheckSeverity.ERROR if serious else dg.AssetCheckSeverity.WARN,
        description="; ".join(finding.what for finding in seen.findings) or None,
        metadata={finding.key: f"{finding.how_bad}; {finding.cure}" for finding in seen.findings},
    )
