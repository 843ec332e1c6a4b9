"""Pseudonyms: stable, keyed, and only where they are asked for."""

import pytest

from neonblue_api.event_input import EventReader
from neonblue_api.pseudonyms import pseudonyms
from neonblue_api.settings import Settings, SettingsError, load_settings

SERVERS = {"postgres_url": "postgresql://p", "clickhouse_url": "http://c", "api_token": "t" * 16}
KEY = "k" * 32


def settings(**more: object) -> Settings:
    return Settings.model_validate(SERVERS | more)


def test_a_user_has_one_pseudonym_a_key_and_without_the_setting_the_id_stays() -> None:
    first, second = (pseudonyms(settings(privacy_key=key, pseudonymous_users=True)) for key in (KEY, KEY.upper()))
    assert first("u1") == first("u1") != first("u2")
    assert first("u1") != second("u1")
    assert len(first("u1")) == 32
    assert pseudonyms(settings(privacy_key=KEY))("u1") == "u1"


def test_an_event_is_read_with_the_pseudonym_in_place_of_the_id() -> None:
    asked = settings(privacy_key=KEY, pseudonymous_users=True)
    body = b'{"user_id": "u1", "event_type": "click"}'
    reader = EventReader(asked, pseudonyms(asked))
    row = reader.one(body, None)
    assert row.user_id == pseudonyms(asked)("u1")
    batch = reader.batch(b'{"events": [' + body + b"]}", None)
    assert [row.user_id for row in batch.rows] == [row.user_id]


def test_our_own_canary_keeps_its_name() -> None:
    assert pseudonyms(settings(privacy_key=KEY, pseudonymous_users=True))("neonblue-canary") == "neonblue-canary"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PRIVACY_KEY": "short"}, "NEONBLUE_PRIVACY_KEY: must be 32 to 64 characters"),
        ({"PSEUDONYMOUS_USERS": "true"}, "NEONBLUE_PSEUDONYMOUS_USERS needs NEONBLUE_PRIVACY_KEY"),
    ],
)
def test_a_wrong_setting_is_told_without_its_value(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    for name in ("PRIVACY_KEY", "PSEUDONYMOUS_USERS"):
        monkeypatch.delenv(f"NEONBLUE_{name}", raising=False)
    for name, value in SERVERS.items():
        monkeypatch.setenv(f"NEONBLUE_{name.upper()}", value)
    for name, value in variables.items():
        monkeypatch.setenv(f"NEONBLUE_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert said in str(refused.value)
    assert "short" not in str(refused.value)
