"""What surrounds every request, as plain ASGI: its id, what browsers may do, addresses that no part behind can hold."""

import logging
import re
from urllib.parse import unquote_to_bytes
from uuid import uuid4

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neonblue_api.errors import ApiError, InvalidInput
from neonblue_api.replies import problem_reply
from neonblue_api.stopping import Stopping

logger = logging.getLogger(__name__)
_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_NAME = b"x-request-id"


# What a browser may do with a reply: nothing. A reply that somebody opens as a page runs no script and is in no frame.
_SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_NOTHING = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
# /docs is a page of the framework with its script from outside.
_DOCS = (
    b"content-security-policy",
    b"default-src 'none'; connect-src 'self'; img-src 'self' data: https://fastapi.tiangolo.com; "
    b"script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src 'unsafe-inline' https://cdn.jsdelivr.net; "
    b"frame-ancestors 'none'",
)
_PRIVATE = (b"cache-control", b"no-store")
_ONLY_TLS = (b"strict-transport-security", b"max-age=31536000")


class RequestId:
    """Takes X-Request-ID from the client or makes one; it is in the reply, in the log and in what is stored.

    Every reply also carries the headers that keep browsers from doing more with it than reading. What nobody expected
    to be raised is answered here, too: the framework would do it further out, without either.
    """

    def __init__(self, app: ASGIApp, stopping: Stopping) -> None:
        self._app = app
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _NAME), None)
        accepted = given if given is not None and _ID.fullmatch(given) else str(uuid4()).encode()
        scope.setdefault("state", {})["request_id"] = accepted.decode("ascii")

        policy = _DOCS if scope["path"] == "/docs" else _NOTHING
        begun = False

        async def tagged(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                given_headers = message.get("headers", ())
                message["headers"] = [*given_headers, (_NAME, accepted), *_SAFE, policy]
                message["headers"] += scope["state"].get("rate_limit", ())
                if not any(name == b"cache-control" for name, _ in given_headers):
                    message["headers"].append(_PRIVATE)
                if scope["scheme"] == "https":
                    message["headers"].append(_ONLY_TLS)
                if self._stopping.began:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        wrong = _unreadable(scope["raw_path"]) or _unreadable(scope["query_string"])
        if wrong:
            refused = InvalidInput(
                f"the address {wrong}", rule="an address is UTF-8 without U+0000, which PostgreSQL cannot store"
            )
            await problem_reply(refused, scope["state"]["request_id"])(scope, receive, tagged)
            return
        try:
            await self._app(scope, receive, tagged)
        except Exception as error:
            logger.error("request %s failed", scope["state"]["request_id"], exc_info=error)
            if begun:
                raise  # the server cuts the connection, by which the client knows that the reply is not whole
            failed = ApiError(f"{scope['method']} {scope['path']} failed")
            await problem_reply(failed, scope["state"]["request_id"])(scope, receive, tagged)


def _unreadable(part: bytes) -> str | None:
    """What is wrong with a part of the address. The framework would read another character in its place."""
    if b"%" not in part and part.isascii():
        return None
    plain = unquote_to_bytes(part)
    if b"\0" in plain:
        return "holds %00"
    try:
        plain.decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8 at {plain[error.start : error.start + 1]!r}"
    return None


class BrowserOrigins:
    """Tells browsers whether a page of another origin may call; the origins are a setting, read when the app starts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._allowing: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._allowing is None:
            listed: str = scope["app"].state.settings.cors_origins
            origins = [origin.strip() for origin in listed.split(",") if origin.strip()]
            self._allowing = self._app
            if origins:
                self._allowing = CORSMiddleware(
                    self._app,
                    allow_origins=origins,
                    allow_methods=["GET", "POST", "PATCH", "DELETE"],
                    allow_headers=["Authorization", "Content-Type", "Content-Encoding", "If-Match", "X-Request-ID"],
                    expose_headers=["ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"],
                    max_age=3600,
                )
        await self._allowing(scope, receive, send)
