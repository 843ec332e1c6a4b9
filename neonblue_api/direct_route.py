"""Routes of the hot path: the framework documents them, and hands the request on without its dependency machinery.

An endpoint takes the request alone and returns a response. Measured, the machinery costs more than storing an event.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from neonblue_api.errors import ApiError, InvalidInput
from neonblue_api.replies import problem_reply

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


Endpoint = Callable[[Request], Awaitable[Response]]


class DirectPaths:
    """As a middleware: requests of these methods and paths go to their endpoints without being looked for among routes.

    The routes stand in the app all the same, for the document and for the other methods of a path. What an endpoint
    raises beyond ApiError is answered further out, as it is for every route.
    """

    def __init__(self, app: ASGIApp, endpoints: dict[tuple[str, str], Endpoint]) -> None:
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get((scope.get("method", ""), scope.get("path", "")))
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            reply = await endpoint(request)
        except ApiError as error:
            reply = problem_reply(error, request.state.request_id)
        await reply(scope, receive, send)
