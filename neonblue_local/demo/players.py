"""What the players of Cookie Cats did, as assignments and events, and what a direct computation says about them.

The facts come from the file; the times are made up (see ORIGIN.md) and follow from the start of the experiment and the
player's number alone, so that a demo that was cut off sends the same events under the same ids again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
import pandas as pd
from scipy import stats

EXPERIMENT = "cookie_cats"
CONTROL, TREATMENT = "gate_30", "gate_40"
METRICS = [
    {"key": "retention_7", "name": "Came back after 7 days", "kind": "proportion", "event_type": "day_7_return"},
    {"key": "retention_1", "name": "Came back after 1 day", "kind": "proportion", "event_type": "day_1_return"},
    {"key": "rounds", "name": "Rounds played in 14 days", "kind": "mean", "event_type": "rounds_played"},
]
RUN_LENGTH = timedelta(days=22)
_INSTALLS_SPREAD_S = 7 * 86_400
_EVENT_IDS = UUID("5f0a1c7e-6a5d-5b61-9c55-0a54a8a3a1d7")


@dataclass(frozen=True)
class Expected:
    """One metric computed from the file itself, without any server."""

    metric: str
    users: dict[str, int]
    sums: dict[str, float]
    p_value: float


def load_players(limit: int | None = None) -> pd.DataFrame:
    """The first `limit` players of the file, or all: userid, version, sum_gamerounds, retention_1, retention_7."""
    return pd.read_csv(Path(__file__).with_name("cookie_cats.csv.gz"), nrows=limit)


def utc_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def assignments(players: pd.DataFrame, started_at: datetime) -> Iterator[dict]:
    """The variant that each player had, as the API takes an assignment made elsewhere."""
    for player, variant, installed_at in zip(
        players["userid"], players["version"], _installed_at(players, started_at), strict=True
    ):
        yield {
            "experiment": EXPERIMENT,
            "user_id": f"player-{player}",
            "variant_key": variant,
            "assigned_at": utc_text(installed_at),
            "source": "cookie_cats.csv",
        }


def events(players: pd.DataFrame, started_at: datetime) -> Iterator[dict]:
    """Up to three events a player: back after a day, back after seven, rounds played (if any)."""
    columns = players[["userid", "sum_gamerounds", "retention_1", "retention_7"]].itertuples(index=False)
    for (player, rounds, back_1, back_7), installed_at in zip(columns, _installed_at(players, started_at), strict=True):
        if back_1:
            yield _event(player, "day_1_return", installed_at + timedelta(days=1), {"page": "/game"})
        if back_7:
            yield _event(player, "day_7_return", installed_at + timedelta(days=7), {"page": "/game"})
        if rounds:
            yield _event(
                player, "rounds_played", installed_at + timedelta(days=14), {"page": "/game", "value": int(rounds)}
            )


def _installed_at(players: pd.DataFrame, started_at: datetime) -> list[datetime]:
    # Knuth's multiplicative hash spreads neighbouring player numbers over the week.
    spread = (players["userid"].to_numpy(np.uint64) * np.uint64(2_654_435_761)) % np.uint64(1 << 32)
    offsets_s = spread.astype(np.float64) / 2.0**32 * _INSTALLS_SPREAD_S
    return [started_at + timedelta(seconds=round(float(offset), 3)) for offset in offsets_s]


def _event(player: int, event_type: str, timestamp: datetime, properties: dict) -> dict:
    return {
        "id": str(uuid5(_EVENT_IDS, f"{player}/{event_type}")),
        "user_id": f"player-{player}",
        "event_type": event_type,
        "timestamp": utc_text(timestamp),
        "experiment": EXPERIMENT,
        "properties": properties,
    }


def expected(players: pd.DataFrame) -> list[Expected]:
    """Users, sums and two-sided p-values straight from the file, in the order of METRICS.

    Proportions by the two-proportion z test with the unpooled variance, rounds by Welch's t test, each as scipy or the
    textbook computes it from the players' values: nothing here passes through the platform or its statistics.
    """
    result = []
    arms = {variant: players[players["version"] == variant] for variant in (CONTROL, TREATMENT)}
    for metric, column in (
        ("retention_7", "retention_7"),
        ("retention_1", "retention_1"),
        ("rounds", "sum_gamerounds"),
    ):
        values = {variant: arm[column].to_numpy(np.float64) for variant, arm in arms.items()}
        if metric == "rounds":
            p_value = float(stats.ttest_ind(values[TREATMENT], values[CONTROL], equal_var=False).pvalue)
        else:
            p_value = _two_proportions_p(values[CONTROL], values[TREATMENT])
        result.append(
            Expected(
                metric=metric,
                users={variant: len(v) for variant, v in values.items()},
                sums={variant: float(v.sum()) for variant, v in values.items()},
                p_value=p_value,
            )
        )
    return result


def expected_sample_ratio_p(players: pd.DataFrame) -> float:
    """Chi-square p-value of the counts against an even split."""
    counts = players["version"].value_counts()
    return float(stats.chisquare([counts[CONTROL], counts[TREATMENT]]).pvalue)


def _two_proportions_p(control: np.ndarray, treatment: np.ndarray) -> float:
    p_c, p_t = control.mean(), treatment.mean()
    variance = p_c * (1 - p_c) / len(control) + p_t * (1 - p_t) / len(treatment)
    return float(2 * stats.norm.sf(abs(p_t - p_c) / np.sqrt(variance)))
