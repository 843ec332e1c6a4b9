"""Bytes on their way: out of the engine through a pipe, to the client through ASGI messages."""

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from neonblue_local.clickhouse.bodies import LOOP_BYTES, PACKERS
from neonblue_local.clickhouse.protocol import Headers

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SEND_SECONDS = 300  # a client that takes nothing for so long is given up


class Pipe:
    """The reading end of a pipe.

    Not asyncio's own pipe transport: uvloop's closes the descriptor twice, and the second time it may be another's.
    """

    def __init__(self, fd: int) -> None:
        self.ended = False
        self._fd = fd

    @classmethod
    def open(cls) -> tuple["Pipe", int]:
        """A pipe and the descriptor of its writing end, which belongs to the caller."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        return cls(reading), writing

    async def read(self, size: int) -> bytes:
        """What is there, at most `size` bytes; b"" at the end."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = os.read(self._fd, size)
            except BlockingIOError:
                readable = asyncio.Event()
                loop.add_reader(self._fd, readable.set)
                try:
                    await readable.wait()
                finally:
                    loop.remove_reader(self._fd)
            else:
                self.ended = not data
                return data

    def close(self) -> None:
        os.close(self._fd)


class Outgoing:
    """A reply's body, packed on its way."""

    def __init__(self, send: Send, packing: str | None) -> None:
        self._send = send
        self._packing = packing
        self._packer = PACKERS[packing]() if packing else None

    async def start(self, headers: Headers) -> None:
        if self._packing:
            headers = [*headers, (b"content-encoding", self._packing.encode()), (b"vary", b"accept-encoding")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, data: bytes, last: bool = False) -> None:
        if self._packer is not None:
            pack = self._packer.compress
            data = await asyncio.to_thread(pack, data) if len(data) > LOOP_BYTES else pack(data)
            data += self._packer.flush() if last else b""
        if data:
            message = {"type": "http.response.body", "body": data, "more_body": True}
            await asyncio.wait_for(self._send(message), SEND_SECONDS)

    async def end(self) -> None:
        rest = self._packer.flush() if self._packer is not None else b""
        await self._send({"type": "http.response.body", "body": rest})


async def reply(send: Send, status: int, headers: Headers, body: bytes, packing: str | None = None) -> None:
    """A whole reply at once."""
    if packing:
        packer = PACKERS[packing]()
        body = packer.compress(body) + packer.flush()
        headers = [*headers, (b"content-encoding", packing.encode()), (b"vary", b"accept-encoding")]
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
