"""The exporter of the pipeline's figures (neonblue_pipeline.exporter), which Prometheus reads."""

import sys
from collections.abc import Mapping

from neonblue_local import http
from neonblue_local.home import HOST, Home
from neonblue_local.parts.base import NotReady, Part


class Exporter(Part):
    name = "exporter"
    what = "exporter: the pipeline's figures for Prometheus"
    ports = ("exporter",)
    stop_seconds = 5

    def command(self, home: Home) -> list[str]:
        return [sys.executable, "-m", "neonblue_pipeline.exporter", "--host", HOST, "--port", str(home.port(self.name))]

    def probe(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        try:
            status, text = http.request(f"{settings['NEONBLUE_EXPORTER_URL']}/healthz")
        except OSError as error:
            raise NotReady(f"GET /healthz: {error}") from error
        if status != 200:
            raise NotReady(f"GET /healthz: {status} {text[:200]}")
