"""The pipeline's figures for Prometheus: `python -m neonblue_pipeline.exporter --port PORT`, then GET /metrics.

The probes are asked when somebody reads, at most once in NEONBLUE_EXPORTER_CACHE_S seconds, so that nobody's reading
costs the servers nothing. GET /healthz answers without asking any server.
"""

import argparse
import hmac
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from neonblue_pipeline.errors import SettingsMissing
from neonblue_pipeline.figures import ALL, LANDED_OUTBOX_ID, LAST_OUTBOX_ID, OUTBOX_BACKLOG
from neonblue_pipeline.settings import Settings, read_settings

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from neonblue_pipeline.probes import Seen

log = logging.getLogger("neonblue.exporter")
_SILENT_CLIENT_S = 10
# Prometheus waits ten seconds for a page: a server that hangs must not take the figures of the others away.
_DEADLINE_S = 6


class Figures:
    """What the probes saw last, as a collector of prometheus-client."""

    def __init__(self, settings: Settings) -> None:
        # A start costs no more than the port: the clients of all servers are imported by the first look.
        from neonblue_pipeline import probes

        self._settings = settings
        self._positions = probes.Positions()
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        self._looked = 0.0
        self._looked_at = 0.0
        self._took = 0.0

    def collect(self) -> Iterator["Metric"]:
        from prometheus_client.core import GaugeMetricFamily

        seen = self._look()
        yield from families(seen)
        yield GaugeMetricFamily(
            "neonblue_exporter_looked_timestamp_seconds", "Unix time of the last look at every server.", self._looked_at
        )
        yield GaugeMetricFamily(
            "neonblue_exporter_look_duration_seconds", "How long the last look at every server took.", self._took
        )

    def _look(self) -> "list[Seen]":
        from neonblue_pipeline import probes

        with self._lock:
            if not self._seen or time.monotonic() - self._looked > self._settings.exporter_cache_s:
                began = time.monotonic()
                self._seen = probes.look(self._settings, self._positions, _DEADLINE_S)
                self._looked, self._looked_at = time.monotonic(), time.time()
                self._took = self._looked - began
            return self._seen


def families(seen: "Iterable[Seen]") -> "Iterator[Metric]":
    """The figures of all probes; whether each answered; each thing that it may find: 1 where it found it, else 0."""
    from prometheus_client.core import GaugeMetricFamily

    answered = GaugeMetricFamily("neonblue_probe_answered", "1 if the probe could look.", labels=["probe", "server"])
    found = GaugeMetricFamily(
        "neonblue_finding",
        "1 while a probe finds this trouble (docs/reliability.md, Watching); absent while it gets no answer.",
        labels=["probe", "finding"],
    )
    # Every name is there from the first look on, with or without a value.
    by_series = {s.name: GaugeMetricFamily(s.name, s.what, labels=s.labels) for s in ALL}
    for one in seen:
        answered.add_metric([one.probe.check, one.probe.server], float(one.answered))
        keys = {finding.key.partition(":")[0] for finding in one.findings}
        for key in one.probe.finds if one.answered else ():
            found.add_metric([one.probe.check, key], float(key in keys))
        for figure in one.figures:
            by_series[figure.series.name].add_metric(figure.labels, figure.value)
    given, landed = by_series[LAST_OUTBOX_ID.name].samples, by_series[LANDED_OUTBOX_ID.name].samples
    # Of two servers' figures one: known only where both answered.
    if given and landed:
        by_series[OUTBOX_BACKLOG.name].add_metric((), max(given[0].value - landed[0].value, 0))
    yield answered
    yield found
    yield from by_series.values()


class Server(ThreadingHTTPServer):
    """Answers /metrics and /healthz; with NEONBLUE_METRICS_TOKEN set, /metrics only to who knows it."""

    daemon_threads = True

    def __init__(self, host: str, port: int, settings: Settings) -> None:
        self.settings = settings
        self._figures: Figures | None = None
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def page(self) -> bytes:
        """Prometheus' text format, with what the process itself uses."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        with self._lock:
            self._figures = self._figures or Figures(self.settings)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self._figures)
        ProcessCollector(registry=registry)
        return generate_latest(registry)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = _SILENT_CLIENT_S
    server_version = "neonblue-exporter"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self._answer(200, b"ok\n")
        elif path != "/metrics":
            self._answer(404, b"the pages are /metrics and /healthz\n")
        elif not self._may_read():
            self._answer(401, b"/metrics needs NEONBLUE_METRICS_TOKEN as bearer token\n")
        else:
            self._answer(200, self.server.page())

    def _may_read(self) -> bool:
        token = self.server.settings.metrics_token
        if not token:
            return True
        scheme, _, given = (self.headers.get("Authorization") or "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Bearer realm="neonblue"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: who reads every fifteen seconds would fill the log."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the pipeline's figures to Prometheus.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # It warns at each look that it commits no offsets, which it is not asked to.
    logging.getLogger("kafka").setLevel(logging.ERROR)
    try:
        settings = read_settings()
    except SettingsMissing as error:
        raise SystemExit(str(error)) from None
    # Whoever starts it may ignore the signal, and so would it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(arguments.host, arguments.port, settings).serve_forever()


if __name__ == "__main__":
    main()
