"""The API (neonblue_api) under uvicorn."""

import sys
from collections.abc import Mapping

from neonblue_local import http
from neonblue_local.home import HOST, Home
from neonblue_local.parts.base import NotReady, Part


class Api(Part):
    name = "api"
    what = "API: experiments, assignments, events, results"
    ports = ("api",)
    after = ("postgres",)
    needs_setup = True

    def command(self, home: Home) -> list[str]:
        return [
            *(sys.executable, "-m", "uvicorn", "neonblue_api.main:app"),
            *("--host", HOST, "--port", str(home.port(self.name))),
            *("--no-access-log", "--timeout-graceful-shutdown", "10"),
            *("--http", "neonblue_api.http_protocol:Bounded"),
        ]

    def probe(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        try:
            status, text = http.request(f"{settings['NEONBLUE_API_URL']}/readyz")
        except OSError as error:
            raise NotReady(f"GET /readyz: {error}") from error
        if status != 200:
            raise NotReady(f"GET /readyz: {status} {text[:300]}")
