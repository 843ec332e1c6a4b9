"""Settings of retention that would drop what something else still needs are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from neonblue_pipeline.errors import SettingsMissing
from neonblue_pipeline.settings import Settings, read_settings

SERVERS = {"postgres_url": "p", "clickhouse_url": "http://c", "kafka_bootstrap": "k", "connect_url": "c"}


def settings(**more: Any) -> Settings:
    return Settings.model_validate(SERVERS | more)


def test_everything_may_be_kept_and_events_are_by_default() -> None:
    assert settings().events_keep_days == 0
    kept = settings(outbox_keep_days=0, events_keep_days=0, landing_keep_days=0)
    assert (kept.outbox_keep_days, kept.landing_keep_days) == (0, 0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"outbox_keep_days": 6}, "at least 7"),
        ({"topic_keep_hours": 24, "outbox_keep_days": 1}, "at least 2"),
        ({"raw_events_keep_months": 12}, "unless NEONBLUE_EVENTS_KEEP_DAYS"),
        ({"raw_events_keep_months": 1, "events_keep_days": 60}, "and shorter"),
        ({"outbox_keep_days": 14, "events_keep_days": 13}, "at least 14"),
        ({"outbox_keep_days": 0, "events_keep_days": 30}, "while NEONBLUE_OUTBOX_KEEP_DAYS is 0"),
        ({"topic_keep_hours": 960, "outbox_keep_days": 40, "landing_keep_days": 40}, "at least 41"),
        ({"reconciliation_window_minutes": 7}, "must divide a day"),
    ],
)
def test_a_setting_that_drops_what_is_still_needed_is_refused(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(**wrong)


def test_a_command_says_it_with_the_names_as_they_are_set() -> None:
    said = r"^NEONBLUE_RAW_EVENTS_KEEP_MONTHS: must be 0 \(keep all\) unless NEONBLUE_EVENTS_KEEP_DAYS is set"
    with pytest.raises(SettingsMissing, match=said):
        read_settings(**SERVERS, raw_events_keep_months=12)
