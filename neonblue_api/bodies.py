"""Reading request bodies: limits before memory is spent, decompression that cannot explode, strict JSON."""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import zstandard
from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from neonblue_api.access import Needs, authorize
from neonblue_api.errors import (
    ApiError,
    BodyTimeout,
    BodyTooLarge,
    MalformedCompression,
    MalformedJson,
    UnsupportedMediaType,
)
from neonblue_api.fact_input import TOGETHER
from neonblue_api.settings import Settings
from neonblue_api.strict_json import JsonRefused, read_strictly

JSON = "application/json"
NDJSON = "application/x-ndjson"
_NAMES = {JSON: JSON, NDJSON: NDJSON, "application/ndjson": NDJSON, "application/jsonl": NDJSON}
_READ_AHEAD = 64 << 10
T = TypeVar("T")
_aside = ThreadPoolExecutor(1, thread_name_prefix="decoding")


class ClientLeft(ApiError):
    """The client hung up in the middle of its body; nobody reads this reply, whose status is for the counts alone."""

    status = 499


def media_type(request: Request, allowed: tuple[str, ...]) -> str:
    """The body's media type. Raises UnsupportedMediaType."""
    stated = request.headers.get("content-type", "")
    name, _, parameters = stated.partition(";")
    found = _NAMES.get(name.strip().lower())
    charset = parameters.replace(" ", "").lower()
    if found not in allowed or (
        charset.startswith("charset=") and charset.strip('"') not in ("charset=utf-8", 'charset="utf-8')
    ):
        raise UnsupportedMediaType(
            f"Content-Type is {stated[:100]!r}" if stated else "the request has no Content-Type",
            rule=f"this route takes {' or '.join(allowed)}, in UTF-8",
        )
    return found


async def read_body(request: Request, limit: int, *, compressed: bool, seconds: float) -> bytes:
    """The whole body, decompressed, at most `limit` bytes on the wire and after it.

    Raises BodyTooLarge before reading where Content-Length tells, and at the first byte too many otherwise;
    UnsupportedMediaType, MalformedCompression, BodyTimeout.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in (("identity", "gzip", "zstd") if compressed else ("identity",)):
        raise UnsupportedMediaType(f"Content-Encoding is {encoding[:100]!r}")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise BodyTooLarge(f"the body has {length} bytes", rule=f"a body of this route has at most {limit} bytes")
    sink = _SINKS[encoding](limit)
    received = 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                received += len(chunk)
                if received > limit:
                    raise _too_large(limit)
                sink.write(chunk)
    except TimeoutError:
        raise BodyTimeout(f"the body was not complete after {seconds:g} s") from None
    except ClientDisconnect:
        raise ClientLeft("the client hung up before its body was complete") from None
    return sink.close()


async def decoded(decode: Callable[[bytes, str | None], T], body: bytes, request_id: str | None) -> T:
    """What `decode` makes of a batch. A large one is decoded in a thread, one at a time, while others are answered.

    A body of 32 MiB of nothing but brackets takes seconds.
    """
    if len(body) <= TOGETHER:
        return decode(body, request_id)
    return await asyncio.get_running_loop().run_in_executor(_aside, decode, body, request_id)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body has more than {limit} bytes", rule=f"a body of this route has at most {limit} bytes")


class _Sink(Protocol):
    def __init__(self, limit: int) -> None: ...
    def write(self, chunk: bytes) -> None: ...
    def close(self) -> bytes: ...


class _Plain:
    def __init__(self, limit: int) -> None:
        self._limit, self._size, self._chunks = limit, 0, list[bytes]()

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._limit:
            raise _too_large(self._limit)
        self._chunks.append(chunk)

    def close(self) -> bytes:
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)


class _Gzip(_Plain):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._inflate = zlib.decompressobj(wbits=31)

    def write(self, chunk: bytes) -> None:
        try:
            while chunk:
                if self._inflate.eof:  # a gzip file may have several members
                    self._inflate = zlib.decompressobj(wbits=31)
                super().write(self._inflate.decompress(chunk, _READ_AHEAD))
                chunk = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        except zlib.error as error:
            raise MalformedCompression(f"the body is not gzip: {error}") from None

    def close(self) -> bytes:
        super().write(self._inflate.flush())
        if not self._inflate.eof:
            raise MalformedCompression("the gzip body ends in the middle of its stream")
        return super().close()


class _Zstd(_Plain):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._frame = _zstd_frame()

    def write(self, chunk: bytes) -> None:
        # Four bytes can stand for a block of 128 KiB: small steps keep what a bomb may write to 16 MiB.
        for start in range(0, len(chunk), 512):
            step = chunk[start : start + 512]
            try:
                while step:
                    if self._frame.eof:  # as the several members of gzip
                        self._frame = _zstd_frame()
                    super().write(self._frame.decompress(step))
                    step = self._frame.unused_data if self._frame.eof else b""
            except zstandard.ZstdError as error:
                raise MalformedCompression(f"the body is not zstd: {error}") from None

    def close(self) -> bytes:
        if not self._frame.eof:
            raise MalformedCompression("the zstd body ends in the middle of its stream")
        return super().close()


def _zstd_frame() -> Any:
    return zstandard.ZstdDecompressor(max_window_size=1 << 23).decompressobj()


_SINKS: dict[str, Callable[[int], _Sink]] = {"identity": _Plain, "gzip": _Gzip, "zstd": _Zstd}


class StrictRequest(Request):
    """A request whose JSON body is read under the limit for definitions and by the strict rules."""

    async def body(self) -> bytes:
        if not hasattr(self, "_strict_body"):
            settings: Settings = self.app.state.settings
            self._strict_body = await read_body(
                self, settings.max_body, compressed=False, seconds=settings.body_timeout
            )
            if self._strict_body:
                media_type(self, (JSON,))
        return self._strict_body

    async def json(self) -> Any:
        settings: Settings = self.app.state.settings
        try:
            return read_strictly(await self.body(), max_depth=settings.max_depth)
        except JsonRefused as refused:
            raise MalformedJson(f"the body {refused}") from None


class StrictRoute(APIRoute):
    """The route class of every router whose bodies are pydantic models."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler = super().get_route_handler()
        scopes = [found.scope for found in _called(self.dependant) if isinstance(found, Needs)]

        async def strict(request: Request) -> Response:
            # The framework reads the body first; who may not come in is told so before any of it is read.
            for scope in scopes:
                await authorize(request, scope)
            return await handler(StrictRequest(request.scope, request.receive))

        return strict


def _called(dependant: Dependant) -> Iterator[Any]:
    """What a route depends on, at any depth."""
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _called(dependency)
