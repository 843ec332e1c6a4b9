"""Every route with generated requests: no server error, and every reply is one that the OpenAPI document states."""

import pytest

from tests.integration.api.fix_api import TOKEN
from tests.integration.api.fix_schemathesis import CHECKS, REFUSALS, run

# What reads ClickHouse is tested where its tables are: tests/end_to_end/test_reading_routes.py.
_NOT_HERE = "/(results|exports|history|segments|summary|journeys|timeseries|properties|funnel)$"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", ["batch", "others"])
def test_every_reply_is_one_that_the_document_states(api_url, group):
    if group == "batch":
        # A batch lists what is wrong with its items and answers 2xx.
        result = run(api_url, TOKEN, "--include-path-regex", "/batch$", checks=CHECKS)
    else:
        chosen = ["--exclude-path-regex", f"{_NOT_HERE}|/batch$"]
        result = run(api_url, TOKEN, *chosen, checks=[*CHECKS, REFUSALS], examples=4)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
