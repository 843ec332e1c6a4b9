"""Changes of definitions: each in one transaction with its entry in the audit log."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Protocol, TypeVar

from fastapi import Depends, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import audit
from neonblue_api.access import Caller, ManageDep
from neonblue_api.database import Database
from neonblue_api.listing import IfMatchDep, check_match, etag
from neonblue_api.state import DatabaseDep, RequestIdDep


class Definition(audit.Shown, Protocol):
    """What has a key and versions: an experiment, a metric."""

    key: str
    revision: int


D = TypeVar("D", bound=Definition)
Get = Callable[[AsyncConnection, str], Awaitable[tuple[int, D]]]
Edit = Callable[[AsyncConnection, int, D], Awaitable[D]]


@dataclass(slots=True)
class Editor:
    """Somebody who changes definitions of one kind by one request."""

    by: Caller
    request_id: str
    database: Database
    reply: Response
    if_match: str | None = None

    async def create(self, kind: str, make: Callable[[AsyncConnection], Awaitable[D]]) -> D:
        """What `make` made, recorded, with ETag and Location in the reply."""

        async def work(connection: AsyncConnection) -> D:
            made = await make(connection)
            await audit.record(
                connection, by=self.by, request_id=self.request_id, kind=kind, key=made.key, action="create", after=made
            )
            return made

        made = await self.database.transact(work)
        self.reply.headers["ETag"] = etag(made.revision)
        self.reply.headers["Location"] = f"/v1/{kind}s/{made.key}"
        return made

    async def edit(self, kind: str, key: str, get_locked: Get[D], edit: Edit[D], action: str = "change") -> D:
        """What `edit` made of it, recorded, with its ETag in the reply. Raises PreconditionFailed."""

        async def work(connection: AsyncConnection) -> D:
            number, current = await self._held(connection, kind, key, get_locked)
            changed = await edit(connection, number, current)
            await audit.record(
                connection,
                by=self.by,
                request_id=self.request_id,
                kind=kind,
                key=key,
                action=action,
                before=current,
                after=changed,
            )
            return changed

        changed = await self.database.transact(work)
        self.reply.headers["ETag"] = etag(changed.revision)
        return changed

    async def delete(
        self, kind: str, key: str, get_locked: Get[D], drop: Callable[[AsyncConnection, int, D], Awaitable[None]]
    ) -> None:
        """Runs `drop` and records it. Raises PreconditionFailed."""

        async def work(connection: AsyncConnection) -> None:
            number, current = await self._held(connection, kind, key, get_locked)
            await drop(connection, number, current)
            await audit.record(
                connection, by=self.by, request_id=self.request_id, kind=kind, key=key, action="delete", before=current
            )

        await self.database.transact(work)

    async def _held(self, connection: AsyncConnection, kind: str, key: str, get_locked: Get[D]) -> tuple[int, D]:
        number, current = await get_locked(connection, key)
        check_match(self.if_match, current.revision, f"{kind} {key!r}")
        return number, current


def _creator(caller: ManageDep, request_id: RequestIdDep, database: DatabaseDep, reply: Response) -> Editor:
    return Editor(caller, request_id, database, reply)


def _editor(
    caller: ManageDep, request_id: RequestIdDep, database: DatabaseDep, reply: Response, if_match: IfMatchDep = None
) -> Editor:
    return Editor(caller, request_id, database, reply, if_match)


CreatorDep = Annotated[Editor, Depends(_creator)]
EditorDep = Annotated[Editor, Depends(_editor)]
