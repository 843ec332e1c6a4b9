"""The folder in which the broker keeps its logs is formatted before its first start."""

import uuid
from pathlib import Path

import pytest

from neonblue_local.errors import PartFailed
from neonblue_local.home import Home
from neonblue_local.parts.kafka import Kafka


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "state", 17000)
    made.create()
    return made


def test_an_id_of_the_cluster_that_begins_with_a_dash_is_an_id(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID("f8000000-0000-4000-8000-000000000000"))
    Kafka().prepare(home, {})
    assert "cluster.id=-A" in (home.data("kafka") / "meta.properties").read_text()


def test_a_folder_that_cannot_be_formatted_is_named_with_the_reason(home: Home) -> None:
    home.data("kafka").write_text("a file where the folder should be")
    with pytest.raises(PartFailed, match=r"could not be formatted: No available log directories"):
        Kafka().prepare(home, {})
