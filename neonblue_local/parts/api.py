"""The API (neonblue_api) under uvicorn."""

import sys
from collections.abc import Mapping

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
        ]

    def probe(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        import httpx

        try:
            answer = httpx.get(f"{settings['NEONBLUE_API_URL']}/readyz", timeout=3, trust_env=False)
        except httpx.HTTPError as error:
            raise NotReady(f"GET /readyz: {error!r}") from error
        if answer.status_code != 200:
            raise NotReady(f"GET /readyz: {answer.status_code} {answer.text[:300]}")
