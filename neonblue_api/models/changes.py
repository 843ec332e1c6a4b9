"""The record of changes."""

from typing import Any, Literal

from neonblue_api.models.fields import Output, UtcTime

Changed = Literal["experiment", "metric", "assignment", "token"]


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
