"""The end of a process: clients are let go before their connections are closed, so that no request is lost on the way.

A server that closes what looks idle at the moment of the signal meets requests that are already under way to it.
"""

import asyncio
import signal
import threading
from types import FrameType
from typing import Any

import uvicorn

from neonblue_api.settings import Settings

_LAST_ACCEPTED = 0.3  # seconds for the requests of connections that were accepted last


class Stopping:
    """From SIGTERM on every reply ends its connection; after the time for that the server itself is told to stop."""

    def __init__(self) -> None:
        self.began = False
        self._drain = 0.0
        self._tell_server: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, settings: Settings) -> None:
        """Stands before the handler of the server that runs this app. Called in its event loop."""
        handler = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is threading.main_thread() and callable(handler):
            self._drain = settings.drain
            self._tell_server = handler
            self._loop = asyncio.get_running_loop()
            signal.signal(signal.SIGTERM, self._asked)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self.began or self._loop is None:
            self._tell_server(number, frame)  # asked again: at once
            return
        self.began = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._drain, self._close_door, number)

    def _close_door(self, number: int) -> None:
        """Accepts nobody any more; who was accepted is still answered."""
        server = getattr(self._tell_server, "__self__", None)
        if isinstance(server, uvicorn.Server):
            for listener in server.servers:
                listener.close()
        asyncio.get_running_loop().call_later(_LAST_ACCEPTED, self._tell_server, number, None)
