"""Assignments: by hash or recorded, one or a batch; listing and deleting them."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from neonblue_api.access import IngestDep
from neonblue_api.assigning import CREATED
from neonblue_api.bodies import JSON, media_type, read_body
from neonblue_api.documentation import body_of, reply_of
from neonblue_api.errors import (
    AssignmentConflict,
    BodyTimeout,
    BodyTooLarge,
    DatabaseUnavailable,
    ExperimentNotFound,
    ExperimentNotRunning,
    InvalidInput,
    MalformedCompression,
    MalformedJson,
    UnknownVariant,
    UnsupportedMediaType,
)
from neonblue_api.models.fields import Key
from neonblue_api.replies import json_reply, responses
from neonblue_api.state import AssigningDep, AssignmentReaderDep, RequestIdDep, SettingsDep

router = APIRouter(prefix="/v1", tags=["assignments"])
_BODY_ERRORS = (MalformedJson, BodyTimeout, BodyTooLarge, UnsupportedMediaType, MalformedCompression, InvalidInput)


@router.post(
    "/experiments/{key}/assignments",
    status_code=201,
    response_class=Response,
    responses=reply_of(201, "Assignment")
    | reply_of(200, "Assignment")
    | responses(
        *_BODY_ERRORS, ExperimentNotFound, ExperimentNotRunning, UnknownVariant, AssignmentConflict, DatabaseUnavailable
    ),
    openapi_extra=body_of({JSON: "AssignmentIn"}),
)
async def assign(
    key: Key,
    request: Request,
    _: IngestDep,
    settings: SettingsDep,
    reader: AssignmentReaderDep,
    assigning: AssigningDep,
    request_id: RequestIdDep,
) -> Response:
    """The user's variant: the one held before (200), or a new one (201) by hash and weights.

    With `variant_key` an assignment made elsewhere is recorded. `variant_key` of the reply is null, and nothing is
    stored (200), where the user is outside the experiment's coverage.
    """
    media_type(request, (JSON,))
    body = await read_body(request, settings.max_body, compressed=True, seconds=settings.body_timeout)
    assignment = await assigning.one(reader.one(key, body, request_id))
    return json_reply(assignment, 201 if assignment.outcome == CREATED else 200)


@router.post(
    "/assignments/batch",
    response_class=Response,
    responses=reply_of(200, "BatchStored") | responses(*_BODY_ERRORS, DatabaseUnavailable),
    openapi_extra=body_of({JSON: "AssignmentBatch"}),
)
async def record_assignments(
    request: Request,
    _: IngestDep,
    settings: SettingsDep,
    reader: AssignmentReaderDep,
    assigning: AssigningDep,
    request_id: RequestIdDep,
) -> Response:
    """Record up to 10,000 assignments made elsewhere: the good ones are stored, the bad ones listed with the reason."""
    media_type(request, (JSON,))
    body = await read_body(request, settings.max_batch_body, compressed=True, seconds=settings.body_timeout)
    rows, positions, rejected = reader.batch(body, request_id)
    return json_reply(await assigning.batch(rows, positions, rejected))
