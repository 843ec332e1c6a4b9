"""An HTTP service that takes alarms, as a team's webhook would: `json://127.0.0.1:port/` in NEONBLUE_ALARM_URLS."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What came, in its order: (time.monotonic(), the JSON body). While `refuses`, each is answered with 503."""

    url: str = ""
    refuses: bool = False
    taken: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    refused: int = 0

    def of_kind(self, kind: str, since: float = 0) -> list[dict[str, Any]]:
        """Messages of 'broken' or 'healed' that came after `since`."""
        wanted = {"broken": "warning", "healed": "success"}[kind]
        return [body for at, body in list(self.taken) if body["type"] == wanted and at >= since]

    def first_alarm(self, since: float) -> float | None:
        """Seconds from `since` to the first message of something broken after it."""
        return next((at - since for at, body in list(self.taken) if at >= since and body["type"] == "warning"), None)


@contextmanager
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name is http.server's
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if made.refuses:
                made.refused += 1
            else:
                made.taken.append((time.monotonic(), body))
            self.send_response(503 if made.refuses else 200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """A test prints what it asserts, not each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"json://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
