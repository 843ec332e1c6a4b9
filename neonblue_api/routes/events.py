"""Events: one, or a batch as JSON or NDJSON. A 202 is sent after the commit."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from neonblue_api.access import IngestDep
from neonblue_api.bodies import JSON, NDJSON, media_type, read_body
from neonblue_api.documentation import body_of, reply_of
from neonblue_api.errors import (
    BatchRefused,
    BodyTimeout,
    BodyTooLarge,
    DatabaseUnavailable,
    EventConflict,
    InvalidInput,
    MalformedCompression,
    MalformedJson,
    NotAssigned,
    UnknownExperiment,
    UnsupportedMediaType,
)
from neonblue_api.replies import json_reply, responses
from neonblue_api.state import EventReaderDep, IntakeDep, RequestIdDep, SettingsDep

router = APIRouter(prefix="/v1/events", tags=["events"])
_BODY_ERRORS = (MalformedJson, BodyTimeout, BodyTooLarge, UnsupportedMediaType, MalformedCompression, InvalidInput)


@router.post(
    "",
    status_code=202,
    response_class=Response,
    responses=reply_of(202, "EventStored")
    | responses(*_BODY_ERRORS, UnknownExperiment, NotAssigned, EventConflict, DatabaseUnavailable),
    openapi_extra=body_of({JSON: "EventIn"}),
)
async def send_event(
    request: Request,
    _: IngestDep,
    settings: SettingsDep,
    reader: EventReaderDep,
    intake: IntakeDep,
    request_id: RequestIdDep,
) -> Response:
    """Store one event. Sending it again under the same id is safe and told as a duplicate."""
    media_type(request, (JSON,))
    body = await read_body(request, settings.max_body, compressed=True, seconds=settings.body_timeout)
    row = reader.one(body, request_id)
    outcome = await intake.one(row)
    return json_reply({"id": str(row.id), "outcome": outcome}, 202)


@router.post(
    "/batch",
    status_code=202,
    response_class=Response,
    responses=reply_of(202, "BatchStored") | responses(*_BODY_ERRORS, BatchRefused, DatabaseUnavailable),
    openapi_extra=body_of({JSON: "EventBatch", NDJSON: "EventIn"}),
)
async def send_events(
    request: Request,
    _: IngestDep,
    settings: SettingsDep,
    reader: EventReaderDep,
    intake: IntakeDep,
    request_id: RequestIdDep,
    atomic: Annotated[bool, Query(description="Store all events or none.")] = False,
) -> Response:
    """Store up to 10,000 events: the good ones are stored, the bad ones listed with their position and the reason.

    JSON `{"events": […]}`, or one event a line as NDJSON; plain, gzip or zstd.
    """
    kind = media_type(request, (JSON, NDJSON))
    body = await read_body(request, settings.max_batch_body, compressed=True, seconds=settings.body_timeout)
    decoded = reader.batch(body, request_id) if kind == JSON else reader.lines(body, request_id)
    stored = await intake.batch(decoded, atomic=atomic)
    if atomic and stored.rejected:
        first = stored.rejected[0]
        raise BatchRefused(
            f"{len(stored.rejected)} of the events cannot be stored, the first at {first.index}: {first.message}",
            rejected=stored.rejected,
        )
    return json_reply(stored, 202)
