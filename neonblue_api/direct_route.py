"""Routes of the hot path: the framework documents them, and hands the request on without its dependency machinery.

An endpoint takes the request alone and returns a response. Measured, the machinery costs more than storing an event.
"""

from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute

from neonblue_api.errors import InvalidInput

_TRUTH = {"true": True, "1": True, "false": False, "0": False}


class DirectRoute(APIRoute):
    """The route class of routers whose endpoints take a request and return a response."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        return self.endpoint


def flag(request: Request, name: str) -> bool:
    """A query parameter that is true or false; false if left out. Raises InvalidInput."""
    given = request.query_params.get(name, "false")
    if given.lower() not in _TRUTH:
        message = f"{given[:40]!r} is neither true nor false"
        raise InvalidInput(f"{name}: {message}", errors=[{"field": name, "message": message}])
    return _TRUTH[given.lower()]
