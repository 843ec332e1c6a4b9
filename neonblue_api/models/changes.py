"""Changes of definitions."""

from typing import Any, Literal

from neonblue_api.models.audit import AuditEntry
from neonblue_api.models.fields import Output, UtcTime

Changed = Literal["experiment", "metric", "assignment", "token", "privacy"]


class Change(Output):
    """Who changed what and when; before and after are the object as in replies, null where there was none."""

    change_id: int
    changed_at: UtcTime
    changed_by: str
    request_id: str | None
    object_type: Changed
    object_key: str
    action: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @classmethod
    def of(cls, entry: AuditEntry) -> "Change":
        return cls(
            change_id=entry.number,
            changed_at=entry.at,
            changed_by=entry.actor,
            request_id=entry.request_id,
            object_type=entry.subject_type,  # type: ignore[arg-type]  # asked for by type
            object_key=entry.subject or "",
            action=entry.action,
            before=entry.before,
            after=entry.after,
        )
