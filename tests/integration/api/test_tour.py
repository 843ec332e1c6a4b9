"""docs/api.md runs as it stands; only the keys are made new, so that the tour can be run again."""

import os
import re
import shutil
import subprocess
import sys

import httpx
import pytest

from tests.integration.api.fix_api import PROJECT, TOKEN, served_api


def _block(language: str) -> str:
    page = (PROJECT / "docs" / "api.md").read_text()
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return found


def _run(command: list[str], script: str, api_url: str) -> str:
    environment = os.environ | {"NEONBLUE_API_URL": api_url, "NEONBLUE_API_TOKEN": TOKEN, "NO_PROXY": "*"}
    done = subprocess.run(command, input=script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _own(text: str, name: str) -> str:
    return (
        text.replace("0193a1c2-7d1e-7c3a-9b55-0a54a8a3a1d7", f"0193a1c2-{name[2:6]}-7c3a-9b55-{name[6:18]}")
        .replace('"u1"', f'"{name}"')
        .replace("user_id=u1", f"user_id={name}")
        .replace("tour-py", f"{name}-py")
        .replace("tour", name)
    )


def test_the_tour_with_curl(api_url, name):
    replies = _run(["bash", "-e"], _own(_block("sh"), name), api_url).split("\n")
    assert len([reply for reply in replies if reply.startswith("{")]) == 10
    assert '"accepted":1' in replies[5]
    assert '"index":1' in replies[5]
    assert replies[9].count('"status":"stopped"') == 1


def test_the_tour_in_python_and_in_a_browsers_language(api_url, name):
    said = _run([sys.executable, "-"], _own(_block("python"), name), api_url)
    assert "'accepted': 2" in said
    if not shutil.which("node"):
        pytest.skip("needs Node for the part in JavaScript")
    variables = "const { NEONBLUE_API_URL, NEONBLUE_API_TOKEN } = process.env;\n"
    said = _run(["node", "--input-type=module", "-"], variables + _own(_block("js"), name), api_url)
    assert "accepted" in said


def test_only_pages_of_the_origins_that_are_set_may_call(postgres_url):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    with served_api(postgres_url, "http://x:y@127.0.0.1:9", NEONBLUE_CORS_ORIGINS="https://shop.example") as (url, _):
        allowed = httpx.options(f"{url}/v1/events", headers=asked | {"Origin": "https://shop.example"}, trust_env=False)
        refused = httpx.options(
            f"{url}/v1/events", headers=asked | {"Origin": "https://other.example"}, trust_env=False
        )
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert "Access-Control-Allow-Origin" not in refused.headers
        reply = httpx.post(f"{url}/v1/events", headers={"Origin": "https://shop.example"}, trust_env=False)
        assert reply.headers["Access-Control-Allow-Origin"] == "https://shop.example"
