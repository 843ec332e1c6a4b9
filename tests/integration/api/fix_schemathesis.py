"""schemathesis over the OpenAPI document of a running API, as a command of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.integration.api.fix_api import PROJECT

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
]
REFUSALS = "negative_data_rejection"


def run(
    api_url: str, token: str, *arguments: str, checks: list[str], existing: str = "", examples: int = 8
) -> "subprocess.CompletedProcess[str]":
    """`existing`: the key of an experiment that well-formed requests are about, which would all be 404 otherwise."""
    config = Path(__file__).with_name("schemathesis.toml")
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config)]
    # One seed: the same requests in every run, so that a failure is that of the change at hand. Values that nobody
    # thought of are found by those who leave the seed out; each found so far has a test of its own.
    command += ["run", f"{api_url}/openapi.json", "--seed", "20261121"]
    command += ["-H", f"Authorization: Bearer {token}"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", str(examples)]
    command += ["--generation-database", "none", "--no-color", "--checks", ",".join(checks), *arguments]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.integration.api.schemathesis_hooks", "SCHEMATHESIS_EXISTING_KEY": existing}
    environment = os.environ | hooks
    return subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
