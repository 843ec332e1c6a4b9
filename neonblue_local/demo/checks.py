"""What the demo proves: the published result equals the file, and every id sent is at every stage once."""

from dataclasses import dataclass

from neonblue_local.demo.players import Expected
from neonblue_local.demo.stages import Ids

P_VALUE_DIGITS = 6
MEAN_DIGITS = 12


@dataclass(frozen=True)
class Finding:
    """One comparison: what was compared, both sides as text, and whether they agree."""

    what: str
    file: str
    platform: str
    agrees: bool


def compare_results(results: dict, expected: list[Expected], sample_ratio_p: float) -> list[Finding]:
    """Each user count, sum, mean and p-value of the published result against the direct computation."""
    findings = []
    published = {metric["metric"]: {v["variant"]: v for v in metric["variants"]} for metric in results["metrics"]}
    for metric in expected:
        variants = published.get(metric.metric, {})
        for variant, users in metric.users.items():
            got = variants.get(variant, {})
            findings.append(_exactly(f"{metric.metric} {variant} users", users, got.get("users")))
            findings.append(_exactly(f"{metric.metric} {variant} sum", metric.sums[variant], got.get("sum")))
            findings.append(
                _closely(f"{metric.metric} {variant} mean", metric.sums[variant] / users, got.get("mean"), MEAN_DIGITS)
            )
        treated = [v for v in variants.values() if not v["control"]]
        p_value = (treated[0]["absolute"] or {}).get("p_value") if treated else None
        findings.append(_closely(f"{metric.metric} p-value", metric.p_value, p_value, P_VALUE_DIGITS))
    p_value = results["sample_ratio"]["p_value"]
    findings.append(_closely("sample ratio p-value", sample_ratio_p, p_value, P_VALUE_DIGITS))
    return findings


def compare_ids(stage: str, sent: Ids, found: Ids) -> Finding:
    """Whether `stage` holds every id sent and no other. Rows beyond the ids are told: redelivered."""
    missing = len(sent.events - found.events) + len(sent.users - found.users)
    surplus = len(found.events - sent.events) + len(found.users - sent.users)
    repeated = found.rows - len(found.events) - len(found.users)
    text = f"{len(found.events):,} events, {len(found.users):,} assignments"
    for count, name in ((missing, "missing"), (surplus, "surplus"), (repeated, "repeated")):
        if count:
            text += f", {count:,} {name}"
    # Kafka may carry a message twice (at least once); a store may not.
    agrees = not missing and not surplus and (stage == "Kafka" or not repeated)
    return Finding(stage, f"{len(sent.events):,} events, {len(sent.users):,} assignments", text, agrees)


def _exactly(what: str, file: float, platform: float | None) -> Finding:
    return Finding(what, f"{file:,.10g}", "nothing" if platform is None else f"{platform:,.10g}", platform == file)


def _closely(what: str, file: float, platform: float | None, digits: int) -> Finding:
    agrees = platform is not None and abs(platform - file) <= abs(file) * 0.5 * 10.0 ** (1 - digits)
    return Finding(what, f"{file:.{digits}g}", "nothing" if platform is None else f"{platform:.{digits}g}", agrees)
