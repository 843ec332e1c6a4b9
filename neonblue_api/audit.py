"""The audit log: entries written in the transaction that they tell of, and read page by page."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api.access import Caller
from neonblue_api.models.audit import AuditEntry

_RECORD = text("""
    select record_audit(:actor, :action, :subject_type, :subject, cast(:before as jsonb), cast(:after as jsonb),
                        :request_id, cast(:actor_id as bigint))""")
_PAGE = text("""
    select number, at, actor, actor_id, request_id, action, subject_type, subject, before::text as before,
           after::text as after, salt is null as blanked, encode(entry_sha256, 'hex') as entry_sha256
    from audit_log
    where (cast(:subject_types as text[]) is null or subject_type = any(:subject_types))
      and (cast(:subject as text) is null or subject = :subject)
      and (cast(:actor as text) is null or actor = :actor)
      and (cast(:action as text) is null or action = :action)
      and (cast(:request_id as text) is null or request_id = :request_id)
      and (cast(:since as timestamptz) is null or at >= :since)
      and (cast(:until as timestamptz) is null or at < :until)
      and (:with_blanked or salt is not null)
      and (cast(:below as bigint) is null or number < :below)
    order by number desc limit :limit""")


class Shown(Protocol):
    """A reply."""

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


async def record(
    connection: AsyncConnection,
    *,
    by: Caller,
    request_id: str | None,
    kind: str,
    key: str | None,
    action: str,
    before: Shown | None = None,
    after: Shown | None = None,
) -> None:
    """Keeps what the object looked like in replies; None where it did not exist, or is told by the action alone.

    The last statement of its transaction: until the commit, no other entry can be written.
    """
    await connection.execute(
        _RECORD,
        {
            "actor": by.name,
            "actor_id": by.token_id,
            "request_id": request_id,
            "subject_type": kind,
            "subject": key,
            "action": action,
            "before": None if before is None else json.dumps(before.model_dump(mode="json")),
            "after": None if after is None else json.dumps(after.model_dump(mode="json")),
        },
    )


async def page(
    connection: AsyncConnection,
    *,
    limit: int,
    below: int | None = None,
    subject_types: Sequence[str] | None = None,
    subject: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    request_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    with_blanked: bool = True,
) -> list[AuditEntry]:
    """The latest entries below the number `below`, the latest first. since <= at < until."""
    values = {
        "limit": limit,
        "below": below,
        "subject_types": None if subject_types is None else list(subject_types),
        "subject": subject,
        "actor": actor,
        "action": action,
        "request_id": request_id,
        "since": since,
        "until": until,
        "with_blanked": with_blanked,
    }
    rows = (await connection.execute(_PAGE, values)).mappings()
    return [AuditEntry(**(dict(row) | {side: _read(row[side]) for side in ("before", "after")})) for row in rows]


def _read(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text)
