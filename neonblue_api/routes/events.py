"""Events: one, or a batch as JSON or NDJSON. A 202 is sent after the commit."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from neonblue_api.access import ReadDep, authorize
from neonblue_api.bodies import JSON, NDJSON, decoded, media_type, read_body
from neonblue_api.direct_route import DirectRoute, Endpoint, flag
from neonblue_api.documentation import body_of, flag_of, reply_of
from neonblue_api.errors import (
    ApiError,
    BatchRefused,
    BodyTimeout,
    BodyTooLarge,
    DatabaseUnavailable,
    EventConflict,
    InvalidCursor,
    InvalidInput,
    MalformedCompression,
    MalformedJson,
    NotAssigned,
    UnknownExperiment,
    UnsupportedMediaType,
    UserErased,
)
from neonblue_api.event_input import EventReader
from neonblue_api.intake import Intake
from neonblue_api.listing import CursorDep, LimitDep, one_page, read_cursor
from neonblue_api.monitoring import count_refused
from neonblue_api.replies import json_reply, responses
from neonblue_api.settings import Settings
from neonblue_api.state import DatabaseDep, PseudonymDep

router = APIRouter(tags=["events"])
_intake_routes = APIRouter(route_class=DirectRoute)
_BODY_ERRORS = (MalformedJson, BodyTimeout, BodyTooLarge, UnsupportedMediaType, MalformedCompression, InvalidInput)

_PAGE = text("""
    select e.event_id, e.user_id, e.event_type, utc_text(e.timestamp) as timestamp, x.key as experiment,
           v.key as variant_key, utc_text(e.assignment_at) as assignment_at, e.properties::text as properties,
           e.session_id, e.request_id, utc_text(e.created_at) as created_at
    from events e
    left join experiments x using (experiment_id)
    left join variants v on v.variant_id = e.variant_id
    where e.user_id = :user_id
      and (cast(:event_type as text) is null or e.event_type = :event_type)
      and (cast(:experiment as text) is null or x.key = :experiment)
      and (cast(:after_time as timestamptz) is null
           or (e.timestamp, e.event_id) < (cast(:after_time as timestamptz), cast(:after_id as uuid)))
    order by e.timestamp desc, e.event_id desc limit :limit""")


@_intake_routes.post(
    "/v1/events",
    status_code=202,
    response_class=Response,
    responses=reply_of(202, "EventStored")
    | responses(*_BODY_ERRORS, UnknownExperiment, NotAssigned, UserErased, EventConflict, DatabaseUnavailable),
    openapi_extra=body_of({JSON: "EventIn"}),
)
async def send_event(request: Request) -> Response:
    """Store one event. Sending it again under the same id is safe and told as a duplicate."""
    await authorize(request, "ingest")
    state = request.app.state
    settings: Settings = state.settings
    reader: EventReader = state.event_reader
    intake: Intake = state.intake
    try:
        media_type(request, (JSON,))
        body = await read_body(request, settings.max_body, compressed=True, seconds=settings.body_timeout)
        row = reader.one(body, request.state.request_id)
        await state.sessions.fill([row])
        outcome = await intake.one(row)
    except ApiError as error:
        count_refused(error)
        raise
    return json_reply({"id": row.id, "outcome": outcome}, 202)


@_intake_routes.post(
    "/v1/events/batch",
    status_code=202,
    response_class=Response,
    responses=reply_of(202, "BatchStored") | responses(*_BODY_ERRORS, BatchRefused, DatabaseUnavailable),
    openapi_extra=body_of({JSON: "EventBatch", NDJSON: "EventIn"})
    | flag_of("atomic", "Store all events of the batch or none."),
)
async def send_events(request: Request) -> Response:
    """Store up to 10,000 events: the good ones are stored, the bad ones listed with their position and the reason.

    JSON `{"events": […]}`, or one event a line as NDJSON; plain, gzip or zstd.
    """
    await authorize(request, "ingest")
    kind = media_type(request, (JSON, NDJSON))
    atomic = flag(request, "atomic")
    state = request.app.state
    settings: Settings = state.settings
    body = await read_body(request, settings.max_batch_body, compressed=True, seconds=settings.body_timeout)
    reader: EventReader = state.event_reader
    given = await decoded(reader.batch if kind == JSON else reader.lines, body, request.state.request_id)
    await state.sessions.fill(given.rows)
    intake: Intake = state.intake
    stored = await intake.batch(given, atomic=atomic)
    if atomic and stored.rejected:
        first = stored.rejected[0]
        raise BatchRefused(
            f"{len(stored.rejected)} of the events cannot be stored, the first at {first.index}: {first.message}",
            rejected=stored.rejected,
        )
    return json_reply(stored, 202)


router.include_router(_intake_routes)
DIRECT: dict[tuple[str, str], Endpoint] = {
    ("POST", "/v1/events"): send_event,
    ("POST", "/v1/events/batch"): send_events,
}


@router.get(
    "/v1/events",
    response_class=Response,
    responses=reply_of(200, "EventPage") | responses(InvalidInput, InvalidCursor, DatabaseUnavailable),
)
async def list_events(
    _: ReadDep,
    database: DatabaseDep,
    pseudonym: PseudonymDep,
    user_id: Annotated[str, Query(min_length=1, max_length=256)],
    event_type: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
    experiment: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
    limit: LimitDep = 100,
    cursor: CursorDep = None,
) -> Response:
    """A user's events as accepted, the latest first, for as long as PostgreSQL keeps their day."""
    after_time, after_id = _place(cursor)

    async def work(connection: AsyncConnection) -> list[Any]:
        values = {
            "user_id": pseudonym(user_id),
            "event_type": event_type,
            "experiment": experiment,
            "after_time": after_time,
            "after_id": after_id,
            "limit": limit + 1,
        }
        return list((await connection.execute(_PAGE, values)).mappings())

    rows = await database.transact(work)
    items, following = one_page(rows, limit, lambda last: (last["timestamp"], str(last["event_id"])))
    return json_reply({"items": [_event(row) for row in items], "next_cursor": following})


def _event(row: Any) -> dict[str, Any]:
    """An event as in replies; properties are passed on as the text that PostgreSQL wrote."""
    fields = dict(row)
    return {"id": fields.pop("event_id")} | fields | {"properties": msgspec.Raw(fields["properties"].encode())}


def _place(cursor: str | None) -> tuple[datetime, UUID] | tuple[None, None]:
    """Time and id of the event that `cursor` stands for. Raises InvalidCursor."""
    place = read_cursor(cursor, str, str)
    if place is None:
        return None, None
    try:
        return datetime.fromisoformat(place[0]).astimezone(UTC), UUID(place[1])
    except (ValueError, OverflowError):
        raise InvalidCursor("cursor holds no event's place") from None
