"""The record of who changed what and when, written in the transaction of the change."""

import json
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_INSERT = text("""
    insert into changes (changed_by, request_id, object_type, object_key, action, before, after)
    values (:changed_by, :request_id, :object_type, :object_key, :action,
            cast(:before as jsonb), cast(:after as jsonb))""")


async def record(
    connection: AsyncConnection,
    *,
    by: str,
    request_id: str | None,
    kind: str,
    key: str,
    action: str,
    before: Any = None,
    after: Any = None,
) -> None:
    """`before` and `after` are what the object looked like in replies, or None where it did not exist."""
    await connection.execute(
        _INSERT,
        {
            "changed_by": by,
            "request_id": request_id,
            "object_type": kind,
            "object_key": key,
            "action": action,
            "before": None if before is None else json.dumps(before),
            "after": None if after is None else json.dumps(after),
        },
    )
