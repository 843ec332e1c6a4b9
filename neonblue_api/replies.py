"""Replies: JSON bytes, problem+json for every error, and the documentation of both for OpenAPI."""

import re
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from neonblue_api.errors import ApiError, InvalidInput, MethodNotAllowed, NotFound, all_errors

PROBLEM = "application/problem+json"
_encode = msgspec.json.Encoder().encode


def json_reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(_encode(body), status, headers, "application/json")


def problem_reply(error: ApiError, request_id: str | None) -> Response:
    return Response(_encode(error.problem(request_id)), error.status, error.headers, PROBLEM)


def install(app: FastAPI) -> None:
    """Every error of the app becomes a problem with a code."""

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> Response:
        return problem_reply(error, request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return problem_reply(_invalid_input(error), request.state.request_id)

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        known: ApiError
        if error.status_code == 405:
            known = MethodNotAllowed(f"{request.method} {request.url.path} is not served")
            known.headers = {"Allow": ", ".join(_methods(app, request.url.path))}
        elif error.status_code == 404:
            known = NotFound(f"{request.url.path} is not a path of this API", rule="paths begin as /docs lists them")
        else:
            known = InvalidInput(str(error.detail))
        return problem_reply(known, request.state.request_id)


def _methods(app: FastAPI, path: str) -> list[str]:
    """The methods of every route that has this path; the framework tells those of the first alone."""
    methods: set[str] = set()
    for template, operations in app.openapi()["paths"].items():
        pattern = "/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in template.split("/"))
        if re.fullmatch(pattern.replace("/users/[^/]+", "/users/.+"), path):
            methods |= {method.upper() for method in operations}
    return sorted(methods)


def _invalid_input(error: RequestValidationError) -> InvalidInput:
    """One entry a field, with its place, what was found and the rule."""
    problems = [(_field(problem, error.body), problem) for problem in error.errors()]
    fields = []
    for name, problem in problems:
        # A field that may be left out is none or a value: what is wrong with the value says more.
        if problem["type"] == "none_required" and any(
            other is not problem and (place == name or place.startswith(f"{name}.")) for place, other in problems
        ):
            continue
        found = problem.get("input")
        entry = {"field": name, "message": problem["msg"].removeprefix("Value error, ")}
        if problem["type"] != "missing" and isinstance(found, str | int | float | bool | None):
            entry["found"] = repr(found)[:200]
        fields.append(entry)
    detail = "; ".join(f"{entry['field']}: {entry['message']}" for entry in fields[:5])
    return InvalidInput(detail, errors=fields)


def _field(problem: Any, body: Any) -> str:
    """The place of a problem as its client knows it: without the names of types, which are no keys of the body."""
    source, *place = problem["loc"]
    if source != "body":
        return ".".join(map(str, place)) or str(source)
    kept, here = [], body
    for number, part in enumerate(place):
        if (isinstance(here, dict) and part in here) or (isinstance(here, list) and isinstance(part, int)):
            here = here[part] if isinstance(here, dict) or part < len(here) else None
        elif not (problem["type"] == "missing" and number == len(place) - 1):
            continue
        kept.append(str(part))
    return ".".join(kept) or "body"


_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "What went wrong (RFC 9457): code, what was found (detail), the rule, and the way out.",
    "required": ["type", "title", "status", "code", "detail", "rule", "way_out", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "rule": {"type": "string"},
        "way_out": {"type": "string"},
        "request_id": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                    "found": {"type": "string"},
                },
            },
        },
    },
}


def problem_schema() -> dict[str, Any]:
    return _PROBLEM_SCHEMA


def responses(*errors: type[ApiError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: each error with an example, grouped by status."""
    grouped: dict[int | str, dict[str, Any]] = {}
    for kind in errors:
        content = grouped.setdefault(
            kind.status,
            {
                "description": "",
                "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        content["description"] += (", " if content["description"] else "") + kind.title
        content["content"][PROBLEM]["examples"][kind.code] = {"$ref": f"#/components/examples/{kind.code}"}
    return grouped


def problem_examples() -> dict[str, Any]:
    """An example of each error, by its code."""
    return {
        kind.code: {"value": kind(kind.title).problem("4f6c0e0e-6f0b-4f8a-9a53-8a4d8f0c2b11")} for kind in all_errors()
    }
