"""Events as clients send them: decoded and checked, ready for accept_events. Knows no server.

The common batch is decoded whole by msgspec; only a batch in which something is wrong is taken apart event by event, so
that the good ones are stored and each bad one is told what is wrong with it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from neonblue_api.errors import InvalidInput, MalformedJson
from neonblue_api.input_rules import ExperimentKey, FieldError, TimeRule, Timestamp, UserId, field_error
from neonblue_api.settings import Settings
from neonblue_api.strict_json import JsonRefused, check_object, read_strictly

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


class EventRow(Struct, gc=False):
    """What accept_events takes (sql/postgres/070)."""

    id: UUID
    user_id: str
    event_type: str
    timestamp: str | None
    experiment: str | None
    properties: Raw
    session_id: str | None
    request_id: str | None


class _Batch(Struct, forbid_unknown_fields=True):
    events: list[EventIn]


class _RawBatch(Struct, forbid_unknown_fields=True):
    events: list[Raw]


_event = msgspec.json.Decoder(EventIn)
_batch = msgspec.json.Decoder(_Batch)
_raw_batch = msgspec.json.Decoder(_RawBatch)
_NO_PROPERTIES = Raw(b"{}")


@dataclass(slots=True)
class Rejected:
    """An event that was not stored: its position in what the client sent, the error's code, and the reason."""

    index: int
    code: str
    message: str


@dataclass(slots=True)
class Decoded:
    """Rows with their positions in the batch; the rest was rejected."""

    rows: list[EventRow] = field(default_factory=list)
    positions: list[int] | range = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


class EventReader:
    """Decodes bodies under the limits of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._max_batch = settings.max_batch
        self._max_depth = settings.max_depth
        self._max_properties = settings.max_properties
        self._clock = TimeRule(settings)

    def one(self, body: bytes, request_id: str | None) -> EventRow:
        """Raises MalformedJson or InvalidInput."""
        if not body:
            raise MalformedJson("the body is empty")
        try:
            return self._exactly(body, request_id, self._clock.bounds())
        except JsonRefused as refused:
            raise MalformedJson(f"the body {refused}") from None
        except FieldError as broken:
            raise InvalidInput(str(broken), errors=[{"field": broken.field, "message": broken.message}]) from None

    def batch(self, body: bytes, request_id: str | None) -> Decoded:
        """A body of the form {"events": […]}. Raises MalformedJson or InvalidInput where the batch as such is wrong."""
        try:
            events = _batch.decode(body).events
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            events = None
        if events is not None:
            self._check_count(len(events))
            decoded = self._all_good(events, body, 1, request_id)
            if decoded is not None:
                return decoded
        try:
            items = _raw_batch.decode(body).events
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._explain(body, error)
        self._check_count(len(items))
        self._check_envelope(body, items)
        return self._each([bytes(item) for item in items], request_id)

    def lines(self, body: bytes, request_id: str | None) -> Decoded:
        """One event a line; blank lines are passed over and not counted. Raises InvalidInput for too many."""
        self._check_count(body.count(b"\n") if body.endswith(b"\n") else body.count(b"\n") + 1)
        try:
            events = _event.decode_lines(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            events = None
        # Two objects on one line, or one object over two lines, are read by the decoder all the same.
        if events is not None and len(events) == body.count(b"\n") + (not body.endswith(b"\n")):
            decoded = self._all_good(events, body, 0, request_id)
            if decoded is not None:
                return decoded
        return self._each([line for line in body.split(b"\n") if line.strip()], request_id)

    def _check_count(self, count: int) -> None:
        if count > self._max_batch:
            raise InvalidInput(
                f"the batch has {count} events",
                rule=f"a batch has at most {self._max_batch} events",
                errors=[{"field": "events", "message": f"{count} events; at most {self._max_batch}"}],
            )

    def _explain(self, body: bytes, error: Exception) -> None:
        try:
            read_strictly(body, max_depth=self._max_depth + 2)
        except JsonRefused as refused:
            raise MalformedJson(f"the body {refused}") from None
        broken = field_error(error)
        raise InvalidInput(str(broken), errors=[{"field": broken.field, "message": broken.message}]) from None

    def _check_envelope(self, body: bytes, items: list[Raw]) -> None:
        """`events` may stand in the body once; msgspec takes the last of several."""
        if body.count(b":") - sum(bytes(item).count(b":") for item in items) != 1:
            raise MalformedJson("the body has the key 'events' twice")

    def _all_good(self, events: list[EventIn], body: bytes, colons: int, request_id: str | None) -> Decoded | None:
        """The rows if every event is good, else None. Every colon of the body is accounted for, as in check_object."""
        if b"\\u003" in body or b"\\u0000" in body:
            return None
        decoded = Decoded(positions=range(len(events)))
        bounds = self._clock.bounds()
        try:
            for event in events:
                row, of_row = self._row(event, request_id, bounds)
                decoded.rows.append(row)
                colons += of_row
        except (JsonRefused, FieldError):
            return None
        return decoded if colons == body.count(b":") else None

    def _each(self, items: list[bytes], request_id: str | None) -> Decoded:
        positions: list[int] = []
        decoded = Decoded(positions=positions)
        bounds = self._clock.bounds()
        for index, item in enumerate(items):
            try:
                row = self._exactly(item, request_id, bounds)
            except JsonRefused as refused:
                decoded.rejected.append(Rejected(index, MalformedJson.code, f"the event {refused}"))
            except FieldError as broken:
                decoded.rejected.append(Rejected(index, InvalidInput.code, f"{broken.field}: {broken.message}"))
            else:
                decoded.rows.append(row)
                positions.append(index)
        return decoded

    def _exactly(self, item: bytes, request_id: str | None, bounds: tuple[datetime, datetime]) -> EventRow:
        try:
            event = _event.decode(item)
            row, colons = self._row(event, request_id, bounds)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            read_strictly(item, max_depth=self._max_depth + 1)
            raise field_error(error) from None
        if colons != item.count(b":") or b"\\u003" in item or b"\\u0000" in item:
            read_strictly(item, max_depth=self._max_depth + 1)
        return row

    def _row(self, event: EventIn, request_id: str | None, bounds: tuple[datetime, datetime]) -> tuple[EventRow, int]:
        """The row and the number of colons that its JSON text must have."""
        colons = 2 + event.user_id.count(":") + event.event_type.count(":")
        event_id = event.id
        if event_id is UNSET:
            event_id = uuid4()
        else:
            colons += 1
            if event_id is None:
                event_id = uuid4()
        timestamp = event.timestamp
        if timestamp is UNSET:
            timestamp = None
        else:
            colons += 1
            if timestamp is not None:
                colons += timestamp.count(":")
                timestamp = self._clock.utc(timestamp, "timestamp", bounds)
        experiment = event.experiment
        if experiment is UNSET:
            experiment = None
        else:
            colons += 1
        session_id = event.session_id
        if session_id is UNSET:
            session_id = None
        else:
            colons += 1
            if session_id is not None:
                colons += session_id.count(":")
        properties = event.properties
        if properties is UNSET:
            properties = _NO_PROPERTIES
        else:
            try:
                colons += 1 + check_object(
                    bytes(properties),
                    max_depth=self._max_depth,
                    max_size=self._max_properties,
                )
            except JsonRefused as refused:
                raise FieldError("properties", str(refused)) from None
        return EventRow(
            event_id,
            event.user_id,
            event.event_type,
            timestamp,
            experiment,
            properties,
            session_id,
            request_id,
        ), colons


def encode_rows(rows: list[EventRow]) -> str:
    return _encode(rows).decode()


def any_schema() -> dict[str, Any]:
    """JSON schemas of the event and the batch, for OpenAPI."""
    return msgspec.json.schema_components([EventIn, _Batch], ref_template="#/components/schemas/{name}")[1]
