"""Whether the data of each experiment can be trusted: split by phases, crossed users, exposures, clocks. No I/O."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from neonblue_pipeline.comparisons import finite
from neonblue_pipeline.metric_kinds import Row
from neonblue_stats import (
    crossed_users,
    same_share,
    sample_ratio_auto,
    sample_ratio_phases,
    sample_ratio_phases_anytime,
)
from neonblue_stats.trust import IMBALANCE_P_VALUE, MAX_CROSSED_SHARE

# Users without an exposure, late events, events with a clock that cannot be right: warned of above this share.
TOLERATED_SHARE = 0.01


class Phase(NamedTuple):
    """Users and planned weights per variant of one phase, and its own p-value."""

    phase: int
    users: dict[str, int]
    weights: dict[str, float]
    p_value: float | None


class Split(NamedTuple):
    """The sample ratio over all phases: the p-value of this look, and a p-value that holds at every look together."""

    p_value: float | None
    mismatch: bool
    anytime_p_value: float | None
    phases: list[Phase]


def splits(rows: Sequence[Row]) -> dict[tuple[int, str, str], Split]:
    """(experiment, dimension, segment) → split, from rows of assignments_by_phase, in its order."""
    groups = [
        (key, list(of_one))
        for key, of_one in groupby(rows, key=lambda r: (r["experiment_id"], r["dimension"], r["segment"]))
    ]
    if not groups:
        return {}
    shape = (
        len(groups),
        max(len(phases) for _, phases in groups),
        max(len(phase["weights"]) for _, phases in groups for phase in phases),
    )
    counts, weights = np.full(shape, np.nan), np.zeros(shape)
    for i, (_, phases) in enumerate(groups):
        for j, phase in enumerate(phases):
            for k, (variant, weight) in enumerate(sorted(phase["weights"].items())):
                counts[i, j, k] = phase["users"].get(variant, 0)
                weights[i, j, k] = weight
    whole, anytime = sample_ratio_phases(counts, weights), sample_ratio_phases_anytime(counts, weights)
    each, _ = sample_ratio_auto(counts, weights)
    return {
        key: Split(
            finite(whole.p_value[i]),
            bool(whole.mismatch[i]),
            finite(anytime.p_value[i]),
            [
                Phase(p["phase"], dict(p["users"]), dict(p["weights"]), finite(each.p_value[i, j]))
                for j, p in enumerate(phases)
            ],
        )
        for i, (key, phases) in enumerate(groups)
    }


def crossed_share(audit: Mapping[str, Any]) -> float | None:
    """Users seen in several variants, as a share of all users."""
    return finite(float(crossed_users(audit["crossed"], audit["assigned"] + audit["crossed"]).share))


def split_warnings(split: Split) -> Iterator[str]:
    """What a reader must know of the split."""
    if split.mismatch and split.p_value is not None and split.anytime_p_value is not None:
        yield (
            f"sample ratio mismatch (p = {split.p_value:.2g}, at every look together {split.anytime_p_value:.2g}): "
            "the split is not as planned, effects may be biased"
        )
    for phase in split.phases:
        for variant in sorted(phase.users):
            if phase.users[variant] and not phase.weights.get(variant):
                yield (
                    f"{phase.users[variant]:,} users came to {variant} in phase {phase.phase}, in which its weight is "
                    "0; they are compared, but no part of the sample ratio check"
                )


def audit_warnings(audit: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must know of users and events, from a row of assignment_audit."""
    share = crossed_share(audit)
    if share is not None and share > MAX_CROSSED_SHARE:
        yield (
            f"{audit['crossed']:,} users ({share:.1%}) were seen in several variants and are left out; "
            f"at most {MAX_CROSSED_SHARE:.0%} is tolerated"
        )
    yield from _exposure_warnings(audit["seen"], audit["unexposed"])
    events = audit["counted_events"]
    for name, what in (
        ("late_events", "came more than a day after they happened: figures of past days still move"),
        ("ahead_events", "are dated more than a minute after they were accepted: a clock runs ahead"),
        (
            "early_events",
            "name the experiment and are dated before their user's assignment: they do not count; a clock may run late",
        ),
    ):
        if events and audit[name] > TOLERATED_SHARE * events:
            yield f"{audit[name]:,} of {events:,} events {what}"


def _exposure_warnings(seen: Mapping[str, int], unexposed: Mapping[str, int]) -> Iterator[str]:
    """Missing exposures matter where the application sends exposures at all."""
    users, without = sum(seen.values()), sum(unexposed.values())
    if not 0 < without < users:
        return
    variants = sorted(seen)
    if without > TOLERATED_SHARE * users:
        yield f"{without:,} of {users:,} users with events have no exposure: some exposures are missing"
    p_value = float(same_share([unexposed[v] for v in variants], [seen[v] for v in variants]))
    if p_value < IMBALANCE_P_VALUE:
        shares = ", ".join(f"{v} {unexposed[v] / seen[v]:.1%}" for v in variants)
        yield f"exposures are not missing alike in all variants (p = {p_value:.2g}): {shares} of the users have none"
