"""Every route with generated requests: no server error, and every reply is one that the OpenAPI document states."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.api.fix_api import PROJECT, TOKEN

# Readers of ClickHouse are tested where its tables are.
_NOT_HERE = "/(results|summary|journeys|timeseries|properties|funnel)$"
# A batch lists what is wrong with its items and answers 2xx: it cannot fail negative_data_rejection.
_CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
]


def _run(api_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = Path(__file__).with_name("schemathesis.toml")
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config)]
    # One seed: the same requests in every run, so that a failure is that of the change at hand.
    command += ["run", f"{api_url}/openapi.json", "--seed", "20261121"]
    command += ["-H", f"Authorization: Bearer {TOKEN}", "--phases", "examples,coverage,fuzzing", "--max-examples", "8"]
    command += ["--generation-database", "none", "--no-color", *arguments]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.integration.api.ndjson_for_schemathesis"}
    return subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", ["batch", "others"])
def test_every_reply_is_one_that_the_document_states(api_url, group):
    if group == "batch":
        chosen = ["--include-path-regex", "/batch$", "--checks", ",".join(_CHECKS)]
    else:
        checks = ",".join([*_CHECKS, "negative_data_rejection"])
        chosen = ["--exclude-path-regex", f"{_NOT_HERE}|/batch$", "--checks", checks]
    result = _run(api_url, *chosen)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
