"""The JSON schema of what `neonblue analyze` reads, generated from the models that read it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from .request import Request


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a document: one comparison, or a list of them, told apart by `kind`."""
    one = Annotated[Request, Field(discriminator="kind")]
    schema = TypeAdapter(one | list[one]).json_schema(ref_template="#/$defs/{model}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Comparisons for neonblue analyze",
        **schema,
    }
