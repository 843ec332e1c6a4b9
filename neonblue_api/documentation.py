"""OpenAPI: schemas of what is decoded in bulk, and what every route has in common."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from neonblue_api import assignment_input, event_input, examples, user_input
from neonblue_api.errors import (
    ApiError,
    BodyTimeout,
    BodyTooLarge,
    Forbidden,
    LockedOut,
    MalformedJson,
    RateLimited,
    Unauthorized,
    UnsupportedMediaType,
)
from neonblue_api.replies import PROBLEM, problem_examples, problem_schema, responses

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_TIME = {"type": "string", "format": "date-time"}
_TIME_OR_NULL = {"type": ["string", "null"], "format": "date-time"}
_OPEN = {"type": "object"}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_REJECTED = {
    "type": "object",
    "required": ["index", "code", "message"],
    "properties": {
        "index": {"type": "integer", "minimum": 0},
        "code": {"type": "string"},
        "message": {"type": "string"},
    },
}
_COUNTS = {
    "type": "object",
    "required": ["accepted", "duplicates", "rejected"],
    "properties": {
        "accepted": {"type": "integer", "minimum": 0},
        "duplicates": {"type": "integer", "minimum": 0},
        "rejected": {"type": "array", "items": _REJECTED},
    },
}
_SCHEMAS: dict[str, Any] = {
    "Problem": problem_schema(),
    "BatchStored": _COUNTS,
    "EventStored": {
        "type": "object",
        "required": ["id", "outcome"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "outcome": {"type": "string", "enum": ["accepted", "duplicate"]},
        },
    },
    "Assignment": _object(
        experiment=_TEXT,
        user_id=_TEXT,
        variant_key=_TEXT_OR_NULL,
        assigned_at=_TIME_OR_NULL,
        outcome={"type": "string", "enum": ["created", "existing", "not_covered", "anonymous"]},
    ),
}
_SCHEMAS |= {
    "User": _object(user_id=_TEXT, attributes=_OPEN, created_at=_TIME, updated_at=_TIME),
    "StoredEvent": _object(
        id={"type": "string", "format": "uuid"},
        user_id=_TEXT,
        event_type=_TEXT,
        timestamp=_TIME,
        experiment=_TEXT_OR_NULL,
        variant_key=_TEXT_OR_NULL,
        assignment_at=_TIME_OR_NULL,
        properties=_OPEN,
        session_id=_TEXT_OR_NULL,
        request_id=_TEXT_OR_NULL,
        created_at=_TIME,
    ),
    "StoredAssignment": _object(
        user_id=_TEXT,
        variant_key=_TEXT,
        assigned_at=_TIME,
        source=_TEXT,
        attributes=_OPEN,
        request_id=_TEXT_OR_NULL,
        created_at=_TIME,
    ),
}
_SCHEMAS["UserStored"] = _SCHEMAS["User"] | {
    "required": ["user_id", "created_at", "updated_at"],
    "description": "attributes only where the token has the scope read",
}
_SCHEMAS |= {
    page: _object(items={"type": "array", "items": {"$ref": f"#/components/schemas/{item}"}}, next_cursor=_TEXT_OR_NULL)
    for page, item in (("UserPage", "User"), ("EventPage", "StoredEvent"), ("AssignmentPage", "StoredAssignment"))
}
_EXAMPLES = {
    "EventIn": {
        "id": "0193a1c2-7d1e-7c3a-9b55-0a54a8a3a1d7",
        "user_id": "u1",
        "event_type": "conversion",
        "properties": {"page": "/product", "value": 39.99},
    },
    "AssignmentIn": {"user_id": "u1"},
    "UserIn": {"user_id": "u1", "attributes": {"country": "DE"}},
    "UserChange": {"attributes": {"country": "AT"}},
}
_BATCHES = {"EventBatch": ("events", "EventIn"), "AssignmentBatch": ("assignments", "BatchAssignmentIn")}


def body_of(schemas: dict[str, str]) -> dict[str, Any]:
    """`openapi_extra` of a route that decodes its own body: media type → name of the schema."""
    return {
        "requestBody": {
            "required": True,
            "content": {media: {"schema": {"$ref": f"#/components/schemas/{name}"}} for media, name in schemas.items()},
        }
    }


def flag_of(name: str, description: str) -> dict[str, Any]:
    """`openapi_extra` for a query parameter that the route reads itself."""
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": description,
                "schema": {"type": "boolean", "default": False},
            }
        ]
    }


def key_in_path(name: str) -> dict[str, Any]:
    """`openapi_extra` for a key in the path that the route reads itself."""
    schema = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$", "examples": ["checkout_button"]}
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": schema}]}


def reply_of(status: int, schema: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that encodes its own reply."""
    return {
        status: {
            "description": "As it is now" if status == 200 else "Stored",
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
        }
    }


def install(app: FastAPI) -> None:
    """The document is made when it is first asked for."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, openapi_version="3.1.0", description=app.description, routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    kinds = [
        event_input.EventIn,
        assignment_input.AssignmentIn,
        assignment_input.BatchAssignmentIn,
        user_input.UserIn,
        user_input.UserChange,
    ]
    _, decoded = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}", schema_hook=_raw)
    for name, schema in decoded.items():
        schemas[name] = schema | ({"examples": [_EXAMPLES[name]]} if name in _EXAMPLES else {})
        for open_object in ("properties", "attributes"):
            if open_object in schema["properties"]:
                schema["properties"][open_object] = {"type": "object"}
    for name, (field, item) in _BATCHES.items():
        schemas[name] = {
            "type": "object",
            "required": [field],
            "additionalProperties": False,
            "properties": {
                field: {"type": "array", "maxItems": 10_000, "items": {"$ref": f"#/components/schemas/{item}"}}
            },
        }
    schemas.update(_SCHEMAS)
    for name, example in examples.REPLIES.items():
        schemas[name]["examples"] = [example]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["examples"] = problem_examples()
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    common = responses(Unauthorized, Forbidden, LockedOut, RateLimited, ApiError)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(operation, common if path.startswith("/v1/") else {})
    return document


_OF_BODIES = responses(MalformedJson, BodyTimeout, BodyTooLarge, UnsupportedMediaType)


def _complete(operation: dict[str, Any], common: dict[int | str, dict[str, Any]]) -> None:
    replies = operation["responses"]
    if "422" in replies and PROBLEM not in replies["422"]["content"]:
        del replies["422"]  # the framework's own; every route names its errors
    for status, reply in common.items():
        replies.setdefault(str(status), reply)
    if common:
        operation["security"] = [{"token": []}]
        if "requestBody" in operation:
            for status, reply in _OF_BODIES.items():
                replies.setdefault(str(status), reply)
    for reply in replies.values():
        reply.setdefault("headers", {})["X-Request-ID"] = {"schema": {"type": "string"}}


def _raw(kind: type) -> dict[str, Any]:
    if kind is msgspec.Raw:
        return {"type": "object"}
    raise NotImplementedError
