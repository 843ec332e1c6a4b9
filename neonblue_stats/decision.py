"""From results to a decision: ship, roll back, keep running or no effect, with its reasons in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .errors import InvalidInput, check_rate
from .sample_ratio import MISMATCH_P_VALUE
from .trust import MAX_CROSSED_SHARE

Verdict = Literal["ship", "roll_back", "keep_running", "no_effect", "not_trusted"]
Role = Literal["target", "secondary", "guardrail"]
Direction = Literal["increase", "decrease"]


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One metric of one treatment against control.

    Attributes:
        name: as people call it. role: 'target' decides, 'guardrail' protects, 'secondary' only informs.
        direction: which change is good.
        estimate, low, high: the effect and its interval, in one unit (a lift, usually), at the corrected level for
            targets; nan where undefined.
        margin: guardrails: the loss that is tolerated, 0 or more, in the same unit.
        mde: targets: the effect worth finding, in the same unit; None when nobody said.
        power: power to find `mde` with the users so far (power_so_far); nan where undefined.
        relative: the unit is a fraction of the control, to be shown in percent.
        seen: whether anybody of either variant did it at all.
    """

    name: str
    role: Role
    direction: Direction
    estimate: float
    low: float
    high: float
    margin: float = 0.0
    mde: float | None = None
    power: float = math.nan
    relative: bool = True
    seen: bool = True


@dataclass(frozen=True, slots=True)
class Trust:
    """What the data quality checks found; None where a check was not made. `other_doubts` are sentences."""

    sample_ratio_p_value: float | None = None
    crossed_share: float | None = None
    pre_period_imbalanced: bool = False
    other_doubts: tuple[str, ...] = ()


class Decision(NamedTuple):
    """The verdict, why, and what would change it; each a sentence."""

    verdict: Verdict
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]


def decide(
    metrics: Sequence[MetricResult], trust: Trust | None = None, *, final: bool = True, target_power: float = 0.8
) -> Decision:
    """Decide on one treatment.

    1. not_trusted: the split is not the planned one, too many users crossed variants, or the variants differed before
       the start. No effect is read from such data.
    2. roll_back: a guardrail is shown to lose more than its margin, or a target is shown to be worse and none better.
    3. ship: at least one target is shown to be better, none worse, and every guardrail is shown to be inside its
       margin, or is of something bad that nobody did.
    4. no_effect: no target moved, every target's power reached `target_power` for the effect worth finding (or its
       interval lies inside that effect on both sides), and the look may end the test (`final`).
    5. keep_running: anything else.

    Args:
        final: whether an interval that touches no boundary may end the experiment now: True for sequential intervals
            and at the planned end, False for fixed intervals before it (then nothing but a warning comes of them).
    """
    check_rate("target_power", target_power)
    for m in metrics:
        if m.margin < 0.0:
            raise InvalidInput("margin", f"metric {m.name!r}: found {m.margin}; must be 0 or more")
    doubts = _doubts(trust or Trust())
    if doubts:
        return Decision("not_trusted", tuple(doubts), ("Find and mend the cause, then start again with fresh users.",))
    targets = [m for m in metrics if m.role == "target"]
    guardrails = [m for m in metrics if m.role == "guardrail"]
    if not targets:
        return Decision(
            "keep_running", ("No target metric is defined, so nothing can be decided.",), ("Name a target metric.",)
        )
    if not final:
        return Decision(
            "keep_running",
            ("The planned end is not reached, and these intervals are only valid at one look.",),
            ("The planned number of users, or sequential intervals, which may be read at any time.",),
        )
    better = [m for m in targets if _good(m)[0] > 0.0]
    worse = [m for m in targets if _good(m)[1] < 0.0]
    broken = [m for m in guardrails if _good(m)[1] < -m.margin]
    absent = [m for m in guardrails if not m.seen and m.direction == "decrease"]
    open_guardrails = [m for m in guardrails if not _good(m)[0] > -m.margin and m not in broken + absent]
    if broken or (worse and not better):
        reasons = [_shown(m, "loses more than the margin allows", m.margin) for m in broken]
        reasons += [_shown(m, "is worse") for m in worse]
        return Decision("roll_back", tuple(reasons), ("A new version; this one is shown to do harm.",))
    if better and worse:
        reasons = [_shown(m, "is better") for m in better] + [_shown(m, "is worse") for m in worse]
        return Decision("keep_running", tuple(reasons), ("Decide which target matters more; the data will not say.",))
    if better and not open_guardrails:
        reasons = [_shown(m, "is better") for m in better]
        reasons += [_shown(m, "stays within its margin", m.margin) for m in guardrails if m not in absent]
        reasons += [f"{m.name} was not seen in either variant: nothing of it is lost." for m in absent]
        return Decision("ship", tuple(reasons), ("A guardrail leaving its margin, or a failed check of the data.",))
    if better:
        reasons = [_shown(m, "is better") for m in better]
        reasons += [_shown(m, "is not yet shown to stay within its margin", m.margin) for m in open_guardrails]
        return Decision(
            "keep_running",
            tuple(reasons),
            tuple(f"{m.name}: {_missing(m)}." for m in open_guardrails),
        )
    unsure = [m for m in targets if not _settled(m, target_power)]
    if not unsure:
        reasons = [_shown(m, "did not move" if _inside(m) else "is not shown to have moved") for m in targets]
        return Decision(
            "no_effect", tuple(reasons), ("A smaller effect being worth finding: plan for it, with more users.",)
        )
    return Decision(
        "keep_running",
        tuple(_shown(m, "is not decided") + _power_words(m, target_power) for m in unsure),
        tuple(
            f"{m.name}: more users, until its interval leaves 0 or rules out the effect worth finding." for m in unsure
        ),
    )


def _missing(guardrail: MetricResult) -> str:
    if not guardrail.seen:
        return "its events; none counts yet in either variant"
    if not guardrail.relative:
        return "more users, until the control's mean is far enough from 0 that a loss is a share of it"
    return f"more users, until losing {_number(guardrail.margin, True).lstrip('+')} is ruled out"


def _doubts(trust: Trust) -> list[str]:
    doubts = []
    p, share = trust.sample_ratio_p_value, trust.crossed_share
    if p is not None and p < MISMATCH_P_VALUE:
        doubts.append(f"Sample ratio mismatch: a split like this has probability {p:.2g} under the planned weights.")
    if share is not None and share > MAX_CROSSED_SHARE:
        doubts.append(
            f"{share:.1%} of the users were seen in several variants; at most {MAX_CROSSED_SHARE:.0%} is tolerated."
        )
    if trust.pre_period_imbalanced:
        doubts.append("The variants already differed before the experiment started.")
    return doubts + list(trust.other_doubts)


def _good(m: MetricResult) -> tuple[float, float]:
    """The interval turned so that higher is better; undefined ends reach everywhere."""
    low = -math.inf if math.isnan(m.low) else m.low
    high = math.inf if math.isnan(m.high) else m.high
    return (low, high) if m.direction == "increase" else (-high, -low)


def _settled(m: MetricResult, target_power: float) -> bool:
    if m.mde is None or math.isnan(m.low) or math.isnan(m.high):
        return False
    return _inside(m) or (not math.isnan(m.power) and m.power >= target_power)


def _inside(m: MetricResult) -> bool:
    """Whether an effect worth finding is ruled out on both sides."""
    low, high = _good(m)
    return m.mde is not None and low > -abs(m.mde) and high < abs(m.mde)


def _number(value: float, relative: bool) -> str:
    return f"{value:+.2%}" if relative else f"{value:+.4g}"


def _shown(m: MetricResult, verb: str, margin: float | None = None) -> str:
    if math.isnan(m.estimate) or math.isnan(m.low):
        return f"{m.name} {verb}: its effect cannot be measured yet."
    interval = f"[{_number(m.low, m.relative)}, {_number(m.high, m.relative)}]"
    good = "higher" if m.direction == "increase" else "lower"
    tail = f", tolerated loss {_number(margin, m.relative).lstrip('+')}" if margin is not None else ""
    return f"{m.name} {verb}: {_number(m.estimate, m.relative)}, interval {interval}, {good} is better{tail}."


def _power_words(m: MetricResult, target_power: float) -> str:
    if m.mde is None:
        return " Nobody said which effect is worth finding, so no effect cannot be told from too few users."
    if math.isnan(m.power):
        return ""
    return f" Power to find {_number(m.mde, m.relative)} is {m.power:.0%} of {target_power:.0%} wanted."
