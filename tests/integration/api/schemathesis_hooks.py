"""What schemathesis loads by SCHEMATHESIS_HOOKS: how a body of NDJSON is written, and which experiment there is."""

import json
import os
from typing import Any

import schemathesis
from schemathesis.core.parameters import ParameterLocation

_EXISTING = os.environ.get("SCHEMATHESIS_EXISTING_KEY")


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx: Any, value: Any) -> bytes:
    return json.dumps(value).encode()


if _EXISTING:

    @schemathesis.hook
    def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
        """A well-formed key, which would name nothing, becomes that of the experiment."""
        if not case.meta.is_negative_at(ParameterLocation.PATH):
            case.path_parameters["key"] = _EXISTING
