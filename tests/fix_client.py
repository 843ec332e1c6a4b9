"""How a client of the API behaves that loses nothing."""

import time

import httpx


class ComesBack(httpx.HTTPTransport):
    """Does what a 503 of a slow PostgreSQL asks for; every request of the tests is safe to repeat."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(20):
            reply = super().handle_request(request)
            if reply.status_code != 503 or b'"database_unavailable"' not in reply.read():
                break
            time.sleep(float(reply.headers["Retry-After"]))
        return reply
