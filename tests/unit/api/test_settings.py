import pytest

from neonblue_api.settings import SettingsError, load_settings

GOOD = {
    "NEONBLUE_POSTGRES_URL": "postgresql://u:secret@h:1/experiments",
    "NEONBLUE_CLICKHOUSE_URL": "http://u:p@h:2",
    "NEONBLUE_API_TOKEN": "a-token-that-is-long-enough",
}


@pytest.fixture
def environment(monkeypatch):
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_good_settings_are_read_from_the_environment(environment):
    environment.setenv("NEONBLUE_MAX_BATCH", "5")
    settings = load_settings()
    assert settings.max_batch == 5
    assert "secret" not in repr(settings)


def test_each_setting_that_is_missing_or_wrong_is_named_once(environment):
    environment.delenv("NEONBLUE_POSTGRES_URL")
    environment.setenv("NEONBLUE_CLICKHOUSE_URL", "h:2")
    environment.setenv("NEONBLUE_POOL_SIZE", "many")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    lines = str(refused.value).splitlines()
    for name in ("NEONBLUE_POSTGRES_URL", "NEONBLUE_CLICKHOUSE_URL", "NEONBLUE_POOL_SIZE"):
        assert len([line for line in lines if line.startswith(name)]) == 1


def test_a_wrong_secret_is_not_shown(environment):
    environment.setenv("NEONBLUE_API_TOKEN", "short-secret")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "NEONBLUE_API_TOKEN" in str(refused.value)
    assert "short-secret" not in str(refused.value)
