"""Assignments: by hash or recorded, one or a batch; listing and deleting them."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from neonblue_api import audit, experiments
from neonblue_api.access import ManageDep, ReadDep, authorize
from neonblue_api.assigning import CREATED, Assigning
from neonblue_api.assignment_input import AssignmentReader
from neonblue_api.bodies import JSON, decoded, media_type, read_body
from neonblue_api.direct_route import DirectRoute
from neonblue_api.documentation import body_of, key_in_path, reply_of
from neonblue_api.errors import (
    AssignmentConflict,
    AssignmentInUse,
    AssignmentNotFound,
    BodyTimeout,
    BodyTooLarge,
    DatabaseUnavailable,
    ExperimentNotFound,
    ExperimentNotRunning,
    InvalidCursor,
    InvalidInput,
    MalformedCompression,
    MalformedJson,
    UnknownVariant,
    UnsupportedMediaType,
    UserErased,
)
from neonblue_api.listing import CursorDep, LimitDep, one_page, read_cursor
from neonblue_api.models.fields import Key
from neonblue_api.replies import json_reply, responses
from neonblue_api.settings import Settings
from neonblue_api.state import DatabaseDep, KnownDep, PseudonymDep, RequestIdDep

router = APIRouter(prefix="/v1", tags=["assignments"])
_intake_routes = APIRouter(route_class=DirectRoute)
_BODY_ERRORS = (MalformedJson, BodyTimeout, BodyTooLarge, UnsupportedMediaType, MalformedCompression, InvalidInput)

_PAGE = text("""
    select a.user_id, v.key as variant_key, utc_text(a.assigned_at) as assigned_at, a.source,
           a.attributes::text as attributes, a.request_id, utc_text(a.created_at) as created_at
    from assignments a join variants v using (variant_id)
    where a.experiment_id = :experiment_id and (cast(:after as text) is null or a.user_id > :after)
      and (cast(:user_id as text) is null or a.user_id = :user_id)
      and (cast(:variant_key as text) is null or v.key = :variant_key)
    order by a.user_id limit :limit""")


@_intake_routes.post(
    "/experiments/{key}/assignments",
    status_code=201,
    response_class=Response,
    responses=reply_of(201, "Assignment")
    | reply_of(200, "Assignment")
    | responses(
        *_BODY_ERRORS,
        ExperimentNotFound,
        ExperimentNotRunning,
        UnknownVariant,
        UserErased,
        AssignmentConflict,
        DatabaseUnavailable,
    ),
    openapi_extra=body_of({JSON: "AssignmentIn"}) | key_in_path("key"),
)
async def assign(request: Request) -> Response:
    """The user's variant: the one held before (200), or a new one (201) by hash and weights.

    With `variant_key` an assignment made elsewhere is recorded. `variant_key` of the reply is null, and nothing is
    stored (200), where the user is outside the experiment's coverage.
    """
    await authorize(request, "ingest")
    media_type(request, (JSON,))
    state = request.app.state
    settings: Settings = state.settings
    body = await read_body(request, settings.max_body, compressed=True, seconds=settings.body_timeout)
    reader: AssignmentReader = state.assignment_reader
    row = reader.one(request.path_params["key"], body, request.state.request_id)
    assigning: Assigning = state.assigning
    assignment = await assigning.one(row)
    return json_reply(assignment, 201 if assignment.outcome == CREATED else 200)


@_intake_routes.post(
    "/assignments/batch",
    response_class=Response,
    responses=reply_of(200, "BatchStored") | responses(*_BODY_ERRORS, DatabaseUnavailable),
    openapi_extra=body_of({JSON: "AssignmentBatch"}),
)
async def record_assignments(request: Request) -> Response:
    """Record up to 10,000 assignments made elsewhere: the good ones are stored, the bad ones listed with the reason."""
    await authorize(request, "ingest")
    media_type(request, (JSON,))
    state = request.app.state
    settings: Settings = state.settings
    body = await read_body(request, settings.max_batch_body, compressed=True, seconds=settings.body_timeout)
    reader: AssignmentReader = state.assignment_reader
    rows, positions, rejected = await decoded(reader.batch, body, request.state.request_id)
    assigning: Assigning = state.assigning
    return json_reply(await assigning.batch(rows, positions, rejected))


router.include_router(_intake_routes)


@router.get(
    "/experiments/{key}/assignments",
    response_class=Response,
    responses=reply_of(200, "AssignmentPage")
    | responses(InvalidInput, InvalidCursor, ExperimentNotFound, DatabaseUnavailable),
)
async def list_assignments(
    key: Key,
    _: ReadDep,
    database: DatabaseDep,
    pseudonym: PseudonymDep,
    user_id: Annotated[str | None, Query(min_length=1, max_length=256)] = None,
    variant_key: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
    limit: LimitDep = 100,
    cursor: CursorDep = None,
) -> Response:
    """Assignments of an experiment in the order of the users' ids."""
    place = read_cursor(cursor, str)

    async def work(connection: AsyncConnection) -> list[Any]:
        experiment_id, _found = await experiments.get(connection, key)
        values = {
            "experiment_id": experiment_id,
            "after": place[0] if place else None,
            "user_id": None if user_id is None else pseudonym(user_id),
            "variant_key": variant_key,
            "limit": limit + 1,
        }
        return list((await connection.execute(_PAGE, values)).mappings())

    rows = await database.transact(work)
    rows, following = one_page(rows, limit, lambda last: (last["user_id"],))
    items = [dict(row) | {"attributes": msgspec.Raw(row["attributes"].encode())} for row in rows]
    return json_reply({"items": items, "next_cursor": following})


@router.delete(
    "/experiments/{key}/assignments",
    status_code=204,
    responses=responses(InvalidInput, ExperimentNotFound, AssignmentNotFound, AssignmentInUse, DatabaseUnavailable),
)
async def delete_assignment(
    key: Key,
    caller: ManageDep,
    database: DatabaseDep,
    known: KnownDep,
    request_id: RequestIdDep,
    pseudonym: PseudonymDep,
    user_id: Annotated[str, Query(min_length=1, max_length=256)],
) -> None:
    """Take a user's assignment back, while no event names it. Assigned anew by hash, it is the same variant."""
    user_id = pseudonym(user_id)

    async def work(connection: AsyncConnection) -> None:
        outcome = await connection.scalar(
            text("select delete_assignment(:key, :user_id)"), {"key": key, "user_id": user_id}
        )
        if outcome == "unknown_experiment":
            raise ExperimentNotFound(f"experiment {key!r} does not exist")
        if outcome == "not_assigned":
            raise AssignmentNotFound(f"user {user_id!r} is not assigned in experiment {key!r}")
        if outcome == "in_use":
            raise AssignmentInUse(f"events of user {user_id!r} name experiment {key!r}")
        await audit.record(
            connection,
            by=caller,
            request_id=request_id,
            kind="assignment",
            key=f"{key}/{user_id}",
            action="delete",
        )

    await database.transact(work)
    known.forget(key)
