"""Sessions: what SET, USE and CREATE TEMPORARY TABLE leave behind for a client's later requests."""

import time
from dataclasses import dataclass

from neonblue_local.clickhouse.engine import Handle
from neonblue_local.clickhouse.errors import ClickHouseError
from neonblue_local.clickhouse.protocol import Request

_DEFAULT_SECONDS = 60
_LONGEST_SECONDS = 3600


@dataclass
class Session:
    """One client's session.

    Attributes:
        name: the id that the client gave it.
        handle: the engine's connection that carries the session's state; None as long as there is no state.
        busy: a request runs in it.
        ends: the request that runs in it is its last.
        expires: time.monotonic() after which it is forgotten, `seconds` after its last request.
    """

    name: str
    handle: Handle | None = None
    busy: bool = False
    ends: bool = False
    expires: float = 0.0
    seconds: int = _DEFAULT_SECONDS


class Sessions:
    """All sessions, by id. Used from the event loop's thread only."""

    def __init__(self) -> None:
        self._known: dict[str, Session] = {}

    def enter(self, request: Request) -> Session:
        """The session that the request names, marked busy.

        Raises:
            ClickHouseError: SESSION_NOT_FOUND, SESSION_IS_LOCKED, INVALID_SESSION_TIMEOUT.
        """
        self._forget_expired()
        name, seconds = request.values["session_id"], request.values.get("session_timeout") or str(_DEFAULT_SECONDS)
        session = self._known.get(name)
        if session is None and request.flag("session_check"):
            raise ClickHouseError.of("SESSION_NOT_FOUND", f"Session {name!r} not found.")
        if session is not None and session.busy:
            raise ClickHouseError.of("SESSION_IS_LOCKED", f"Session {name!r} is locked by a concurrent client.")
        if not (seconds.isascii() and seconds.isdecimal() and 0 < int(seconds) <= _LONGEST_SECONDS):
            message = f"session_timeout {seconds!r}: it must be a whole number from 1 to {_LONGEST_SECONDS} seconds."
            raise ClickHouseError.of("INVALID_SESSION_TIMEOUT", message)
        session = self._known.setdefault(name, Session(name))
        session.seconds, session.busy, session.ends = int(seconds), True, request.flag("close_session")
        return session

    def leave(self, session: Session) -> None:
        """The request has ended."""
        session.busy = False
        session.expires = time.monotonic() + session.seconds
        if session.ends:
            self._forget(session.name)

    def close(self) -> None:
        """Forget all of them."""
        for session_id in list(self._known):
            self._forget(session_id)

    def _forget_expired(self) -> None:
        now = time.monotonic()
        for session_id in [name for name, session in self._known.items() if not session.busy and session.expires < now]:
            self._forget(session_id)

    def _forget(self, session_id: str) -> None:
        session = self._known.pop(session_id)
        if session.handle is not None:
            session.handle.close()
            session.handle = None
