"""The ClickHouse engine (chDB) behind the ordinary ClickHouse HTTP interface (package neonblue_local.clickhouse)."""

import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from neonblue_local.home import PROJECT, Home
from neonblue_local.parts.base import NotReady, Part


class ClickHouse(Part):
    name = "clickhouse"
    what = "ClickHouse engine: experiments_analytics"
    ports = ("clickhouse",)
    stop_seconds = 30

    def command(self, home: Home) -> list[str]:
        return [
            *(sys.executable, "-m", "neonblue_local.clickhouse"),
            *("--path", str(home.data(self.name))),
            *("--port", str(home.port(self.name))),
            *("--config-file", str(PROJECT / "neonblue_local" / "clickhouse" / "engine.xml")),
        ]

    def environment(self, home: Home, settings: Mapping[str, str]) -> dict[str, str]:
        url = urlsplit(settings["NEONBLUE_CLICKHOUSE_URL"])
        return {"NEONBLUE_CLICKHOUSE_USER": url.username or "", "NEONBLUE_CLICKHOUSE_PASSWORD": url.password or ""}

    def prepare(self, home: Home, settings: Mapping[str, str]) -> None:
        home.data(self.name).mkdir(mode=0o700, exist_ok=True)

    def probe(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        import httpx

        url = urlsplit(settings["NEONBLUE_CLICKHOUSE_URL"])
        base = f"http://{url.hostname}:{url.port}"
        try:
            with httpx.Client(timeout=3, trust_env=False, auth=(url.username or "", url.password or "")) as client:
                answers = [client.get(f"{base}/ping"), client.post(base, content="select 1")]
        except httpx.HTTPError as error:
            raise NotReady(f"/ping and select 1: {error!r}") from error
        for answer, expected in zip(answers, ("Ok.", "1"), strict=True):
            if answer.status_code != 200 or answer.text.strip() != expected:
                raise NotReady(f"{answer.request.url.path}: {answer.status_code} {answer.text[:200]}")
