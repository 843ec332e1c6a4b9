"""How schemathesis writes a body of NDJSON; it loads this file by SCHEMATHESIS_HOOKS."""

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx: Any, value: Any) -> bytes:
    return json.dumps(value).encode()
