"""Settings and the pages that tell of them."""

import re

import pytest

from neonblue_api.settings import Settings as ApiSettings
from neonblue_local.home import PROJECT
from neonblue_pipeline.settings import Settings as PipelineSettings

FIELDS = ApiSettings.model_fields | PipelineSettings.model_fields
PAGES = "".join(path.read_text() for path in sorted((PROJECT / "docs").glob("*.md")))


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_setting_is_named_in_the_docs(name: str) -> None:
    assert re.search(rf"`NEONBLUE_{name.upper()}(=[^`]*)?`", PAGES)


def test_defaults_that_stand_in_a_table_are_those_of_the_code() -> None:
    told = dict(re.findall(r"^\| `NEONBLUE_(\w+)` \| ([\d.]+) \|", PAGES, re.MULTILINE))
    assert len(told) > 12
    assert {name: FIELDS[name.lower()].default for name in told} == {name: float(told[name]) for name in told}
