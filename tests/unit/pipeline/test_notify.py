"""Where alarms go: how URLs are told apart, and that their secrets stay out of every text."""

import pytest

from neonblue_pipeline.errors import NotifyError
from neonblue_pipeline.notify import Destination, destinations
from neonblue_pipeline.settings import Settings

SETTINGS = Settings(postgres_url="p", clickhouse_url="http://c", kafka_bootstrap="k", connect_url="c")
MAIL = "mailtos://me:secret@example.org?to=a@example.org,b@example.org"
HOOK = "jsons://hooks.example.org/secret"


@pytest.mark.parametrize("between", [" ", ",", ", ", "\n", " ,\n "])
def test_urls_are_apart_by_spaces_commas_and_lines_and_keep_their_own_commas(between: str) -> None:
    found = destinations(SETTINGS.model_copy(update={"alarm_urls": f" {MAIL}{between}{HOOK} "}))
    assert [destination.url for destination in found] == [MAIL, HOOK]


def test_without_urls_there_is_nobody_to_tell() -> None:
    assert list(destinations(SETTINGS)) == []


def test_a_destination_is_named_without_its_secrets() -> None:
    destination = Destination(MAIL)
    assert "secret" not in f"{destination} {destination!r} {destination.fingerprint}"
    assert str(destination).startswith("mailtos://")


def test_a_url_of_no_known_service_is_said_without_its_secrets() -> None:
    with pytest.raises(NotifyError, match="NEONBLUE_ALARM_URLS: no service is known") as raised:
        Destination("carrierpigeon://me:secret@loft").send("title", "body")
    assert "secret" not in str(raised.value)
