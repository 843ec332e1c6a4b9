"""The ClickHouse engine (chDB) behind the ordinary ClickHouse HTTP interface (package neonblue_local.clickhouse)."""

import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from neonblue_local import http
from neonblue_local.home import PROJECT, Home
from neonblue_local.parts.base import BEHIND_REPLIES, NotReady, Part


class ClickHouse(Part):
    name = "clickhouse"
    what = "ClickHouse engine: experiments_analytics"
    ports = ("clickhouse",)
    stop_seconds = 30
    niceness = BEHIND_REPLIES

    def command(self, home: Home) -> list[str]:
        return [
            # The engine takes its time zone from here when it is loaded; PostgreSQL's is UTC, too.
            *("env", "TZ=UTC"),
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
        base = settings["NEONBLUE_CLICKHOUSE_URL"]
        for url, body, expected in ((f"{base}/ping", None, "Ok."), (base, b"select 1", "1")):
            try:
                status, text = http.request(url, body=body)
            except OSError as error:
                raise NotReady(f"/ping and select 1: {error}") from error
            if status != 200 or text.strip() != expected:
                raise NotReady(f"{'select 1' if body else '/ping'}: {status} {text[:200]}")
