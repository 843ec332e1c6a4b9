"""Events as clients send them: decoded and checked, ready for accept_events. Knows no server.

Events that came together are decoded together by msgspec; only where something is wrong with one of them each is looked
at by itself, so that the good ones are stored and each bad one is told what is wrong with it.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from neonblue_api.errors import MalformedJson
from neonblue_api.fact_input import (
    AROUND,
    TOGETHER,
    UNDECODABLE,
    Rejected,
    check_count,
    items_of,
    refusal_of,
    rejected,
    undecoded,
)
from neonblue_api.input_rules import Bounds, ExperimentKey, FieldError, TimeRule, Timestamp, UserId
from neonblue_api.pseudonyms import Pseudonym
from neonblue_api.settings import Settings
from neonblue_api.strict_json import JsonRefused, check_extent, check_object, holds_no_repeats, read_strictly

EventId = Annotated[
    UUID, Meta(description="Made by the client, so that a repeat is known; made by the server if left out.")
]
EventType = Annotated[str, Meta(min_length=1, max_length=128, examples=["conversion"])]
SessionId = Annotated[str, Meta(min_length=1, max_length=256)]

_encode = msgspec.json.Encoder().encode


class EventIn(Struct, forbid_unknown_fields=True, gc=False):
    """An event; the fields' rules are the annotations."""

    user_id: UserId
    event_type: EventType
    id: EventId | UnsetType | None = UNSET
    timestamp: Timestamp | UnsetType | None = UNSET
    experiment: ExperimentKey | UnsetType | None = UNSET
    properties: Raw | UnsetType = UNSET
    session_id: SessionId | UnsetType | None = UNSET


class EventRow(Struct, gc=False, omit_defaults=True):
    """What accept_events takes (sql/postgres/070)."""

    id: UUID
    user_id: str
    event_type: str
    timestamp: str | None
    experiment: str | None
    properties: Raw
    session_id: str | None
    request_id: str | None
    running_session: str | None = None  # the server's word, for want of a session_id


class _Batch(Struct, forbid_unknown_fields=True):
    events: list[EventIn]


_event = msgspec.json.Decoder(EventIn)
_batch = msgspec.json.Decoder(_Batch)
_anything = msgspec.json.Decoder(Any)
_NO_PROPERTIES = Raw(b"{}")
_BRACE = ord("{")
_line = re.compile(rb"\S[^\n]*")


@dataclass(slots=True)
class Decoded:
    """Rows with their positions in the batch; the rest was rejected."""

    rows: list[EventRow] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


class EventReader:
    """Decodes bodies under the limits of the settings."""

    def __init__(self, settings: Settings, pseudonym: Pseudonym) -> None:
        self._max_batch = settings.max_batch
        self._max_depth = settings.max_depth
        self._max_properties = settings.max_properties
        self._max_event = settings.max_properties + AROUND
        self._pseudonym = pseudonym if settings.pseudonymous_users else None
        self._clock = TimeRule(settings)

    def one(self, body: bytes, request_id: str | None) -> EventRow:
        """Raises MalformedJson or InvalidInput."""
        if not body:
            raise MalformedJson("the body is empty")
        try:
            return self._exactly(body, request_id, self._clock.bounds())
        except (JsonRefused, FieldError) as wrong:
            raise refusal_of(wrong) from None

    def batch(self, body: bytes, request_id: str | None) -> Decoded:
        """A body of the form {"events": […]}. Raises MalformedJson or InvalidInput where the batch as such is wrong."""
        if len(body) <= TOGETHER:
            events = []
            with suppress(*UNDECODABLE):
                events = _batch.decode(body).events
            check_count(len(events), "events", self._max_batch)
            if events and (rows := self._all_good(events, body, 1, request_id, self._clock.bounds())) is not None:
                return Decoded(rows, list(range(len(rows))))
        items = items_of(body, "events", max_batch=self._max_batch, max_depth=self._max_depth)
        return self._in_turn(items, request_id)

    def lines(self, body: bytes, request_id: str | None) -> Decoded:
        """One event a line; blank lines are passed over and not counted. Raises InvalidInput for too many."""
        if body.count(b"\n") + (not body.endswith(b"\n")) > self._max_batch:
            check_count(_lines_in(body), "events", self._max_batch)
        return self._in_turn(_line.findall(body), request_id)

    def _in_turn(self, items: list[bytes], request_id: str | None) -> Decoded:
        """So many items together, then the next ones; where one of them is not good, each by itself."""
        decoded = Decoded()
        bounds = self._clock.bounds()
        for positions in _together(items):
            some = items[positions.start : positions.stop]
            text = b"\n".join(some)
            events = []
            if len(text) < TOGETHER + self._max_event:  # else one of them is too large
                with suppress(*UNDECODABLE):
                    events = _event.decode_lines(text)
            # Two objects on one line, or one object over two lines, are read by the decoder all the same.
            rows = self._all_good(events, text, 0, request_id, bounds) if len(events) == len(some) else None
            if rows is not None:
                decoded.rows += rows
                decoded.positions += positions
                continue
            for position, item in zip(positions, some, strict=True):
                try:
                    row = self._exactly(item, request_id, bounds)
                except (JsonRefused, FieldError) as wrong:
                    decoded.rejected.append(rejected(position, wrong, "the event"))
                else:
                    decoded.rows.append(row)
                    decoded.positions.append(position)
        return decoded

    def _all_good(
        self, events: list[EventIn], text: bytes, beside: int, request_id: str | None, bounds: Bounds
    ) -> list[EventRow] | None:
        """The rows if every event is good, else None. `text` is what was decoded, with so many colons beside events."""
        if _needs_a_look(text) or _encode(events).count(b":") + beside != text.count(b":"):
            return None
        properties = b"[%b]" % b",".join([e.properties for e in events if not isinstance(e.properties, UnsetType)])
        try:
            if not holds_no_repeats(properties, _anything.decode(properties)):
                return None
            return [self._row(event, request_id, bounds) for event in events]
        except (*UNDECODABLE, FieldError):
            return None

    def _exactly(self, item: bytes, request_id: str | None, bounds: Bounds) -> EventRow:
        """The row of one event, every rule checked. Raises JsonRefused and FieldError."""
        try:
            event = _event.decode(item)
        except UNDECODABLE as error:
            raise undecoded(item, error, max_depth=self._max_depth + 1) from None
        if not isinstance(event.properties, UnsetType):
            try:
                check_object(bytes(event.properties), max_depth=self._max_depth, max_size=self._max_properties)
            except JsonRefused as refused:
                raise FieldError("properties", str(refused)) from None
        row = self._row(event, request_id, bounds)
        if _needs_a_look(item) or _encode(event).count(b":") != item.count(b":"):
            if len(item) > self._max_event:
                raise JsonRefused(f"has {len(item)} bytes; at most {self._max_event} are allowed")
            read_strictly(item, max_depth=self._max_depth + 1)
        return row

    def _row(self, event: EventIn, request_id: str | None, bounds: Bounds) -> EventRow:
        """The row of an event whose text is strict JSON. Raises FieldError."""
        timestamp = event.timestamp
        if timestamp is UNSET:
            timestamp = None
        elif timestamp is not None:
            timestamp = self._clock.utc(timestamp, "timestamp", bounds)
        properties = event.properties
        if properties is UNSET:
            properties = _NO_PROPERTIES
        else:
            raw = bytes(properties)
            if raw[0] != _BRACE:
                raise FieldError("properties", "must be an object")
            try:
                check_extent(raw, max_depth=self._max_depth, max_size=self._max_properties)
            except JsonRefused as refused:
                raise FieldError("properties", str(refused)) from None
        # An id, experiment or session that is there is never empty: what is false is UNSET or null.
        return EventRow(
            event.id or uuid4(),
            event.user_id if self._pseudonym is None else self._pseudonym(event.user_id),
            event.event_type,
            timestamp,
            event.experiment or None,
            properties,
            event.session_id or None,
            request_id,
        )


def _needs_a_look(text: bytes) -> bool:
    """Whether it may hold U+0000, or a colon that is escaped and so not counted."""
    return b"\\u00" in text and (b"\\u0000" in text or b"\\u003" in text)


def _together(items: list[bytes]) -> Iterator[range]:
    """The positions of items that are decoded by one call, one call after the other."""
    start = size = 0
    for position, item in enumerate(items):
        size += len(item)
        if size >= TOGETHER:
            yield range(start, position + 1)
            start, size = position + 1, 0
    if start < len(items):
        yield range(start, len(items))


def _lines_in(body: bytes) -> int:
    """Lines that are not blank, without an object for each: there may be millions."""
    text = body.translate(None, b" \t\r\v\f").strip(b"\n")
    while b"\n\n" in text:
        text = text.replace(b"\n\n", b"\n")
    return text.count(b"\n") + bool(text)


def encode_rows(rows: list[EventRow]) -> str:
    return _encode(rows).decode()


def anonymous(row: EventRow) -> EventRow:
    """That something happened and when, of nobody; the same event again is the same row."""
    return EventRow(row.id, f"anonymous-{row.id}", row.event_type, row.timestamp, None, _NO_PROPERTIES, None, None)
