import pytest

from neonblue_api.main import create_app
from neonblue_api.rate_limits import RateLimits
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


def test_limits_are_read_by_route(environment):
    environment.setenv("NEONBLUE_RATE_LIMITS", "POST /v1/events=1000/second, *=10/2 minutes")
    assert load_settings().rate_limits_by_route() == {"POST /v1/events": "1000/second", "*": "10/2 minutes"}


@pytest.mark.parametrize("limits", ["POST /v1/events", "*=many", "*=0", "POST /v1/events=1000/s/s"])
def test_a_limit_that_cannot_be_read_is_named(environment, limits):
    environment.setenv("NEONBLUE_RATE_LIMITS", limits)
    with pytest.raises(SettingsError, match=r"NEONBLUE_RATE_LIMITS.*must have the form"):
        load_settings()


def test_a_limit_on_a_route_that_does_not_exist_is_refused(environment):
    environment.setenv("NEONBLUE_RATE_LIMITS", "POST /v1/evnts=3/hour")
    with pytest.raises(SettingsError, match="NEONBLUE_RATE_LIMITS: 'POST /v1/evnts' is not a route"):
        RateLimits(load_settings(), None, create_app())


def test_an_empty_redis_url_is_none(environment):
    environment.setenv("NEONBLUE_REDIS_URL", "")
    assert load_settings().redis_url is None


@pytest.mark.parametrize("url", ["http://u:p@h:2/?compress=lz5", "http://u:p@h:2/events"])
def test_a_url_of_clickhouse_that_says_more_than_a_server_is_refused_without_its_password(environment, url):
    environment.setenv("NEONBLUE_CLICKHOUSE_URL", url)
    with pytest.raises(SettingsError, match=r"NEONBLUE_CLICKHOUSE_URL.*with nothing after it") as refused:
        load_settings()
    assert "u:p" not in str(refused.value)
