"""The audit log."""

from typing import Any

from neonblue_api.models.fields import Output, UtcTime


class AuditEntry(Output):
    """Who did what and when. actor_id is the number of the token, null for the bootstrap token and for commands.

    blanked: what told of a person was erased, so that subject, before and after are null; the hashes stayed.
    entry_sha256: over this entry and the hash of the entry before it.
    """

    number: int
    at: UtcTime
    actor: str
    actor_id: int | None
    request_id: str | None
    action: str
    subject_type: str
    subject: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    blanked: bool
    entry_sha256: str
