"""Whether the process lives, and whether it can do its work."""

from typing import Any

import psycopg
from fastapi import APIRouter, Request
from starlette.responses import Response

from neonblue_api.errors import DatabaseUnavailable, Ending
from neonblue_api.redis_link import RedisLink
from neonblue_api.replies import json_reply, responses
from neonblue_api.state import DatabaseDep

router = APIRouter(tags=["health"])
_STATE = {
    "application/json": {
        "schema": {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
    }
}
_REDIS = {
    "type": ["object", "null"],
    "description": "Null where none is used. The API goes on without one that does not answer.",
    "required": ["answers", "trouble", "left_alone", "unanswered"],
    "properties": {
        "answers": {"type": "boolean"},
        "trouble": {"type": ["string", "null"]},
        "left_alone": {
            "type": "integer",
            "description": "How often since the start.",
        },
        "unanswered": {"type": "integer", "description": "Questions of requests that went on without an answer."},
    },
}
_DISK = {
    "type": ["object", "null"],
    "description": "PostgreSQL's. Null where its free space is not known, or NEONBLUE_MIN_FREE_DISK is 0.",
    "required": ["free_bytes", "kept_free_bytes", "facts_are_refused"],
    "properties": {
        "free_bytes": {"type": "integer"},
        "kept_free_bytes": {"type": "integer", "description": "With fewer free, facts are refused."},
        "facts_are_refused": {"type": "boolean"},
    },
}
_READY = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["status", "redis", "disk"],
            "properties": {"status": {"type": "string"}, "redis": _REDIS, "disk": _DISK},
        }
    }
}
_NEEDED = """
    select name from unnest(array['users', 'api_tokens', 'experiments', 'variants', 'metrics', 'experiment_metrics',
                                  'experiment_phases', 'audit_log', 'assignments', 'assignment_epochs', 'events',
                                  'known_event_ids', 'intake_days', 'outbox_log']) as name
    where to_regclass(name) is null
    union all
    select name from unnest(array['accept_events', 'accept_assignments', 'publish_experiment', 'record_audit']) as name
    where to_regproc(name) is null"""
_RESTORE = "select 1 from pg_class where oid = to_regclass('public.restore_underway')"


@router.get("/healthz", response_class=Response, responses={200: {"description": "It lives", "content": _STATE}})
async def healthz() -> Response:
    """The process answers."""
    return json_reply({"status": "ok"})


@router.get(
    "/readyz",
    response_class=Response,
    responses={
        **{200: {"description": "Requests can be served", "content": _READY}},
        **responses(DatabaseUnavailable, Ending),
    },
)
async def readyz(request: Request, database: DatabaseDep) -> Response:
    """PostgreSQL answers and holds the schema; the reply says what is missing, and how Redis and the disk are."""
    if request.app.state.stopping.began:
        raise Ending("this process was told to stop")

    async def missing(driver: psycopg.AsyncConnection[Any]) -> list[str]:
        # Its content may be whole, but is taken away again when the restore is repeated.
        if await (await driver.execute(_RESTORE)).fetchone():
            raise DatabaseUnavailable(
                "a restore is not over; `neonblue doctor --servers` says which, and how it is ended", retry_after=5
            )
        return [name for (name,) in await (await driver.execute(_NEEDED)).fetchall()]

    lacking = await database.call(missing)
    if lacking:
        raise DatabaseUnavailable(f"the schema is not applied: {', '.join(lacking)} missing", retry_after=5)
    link: RedisLink | None = request.app.state.redis
    return json_reply({"status": "ready", "redis": link and link.state(), "disk": await database.disk.state()})
