"""The ASGI application: from a request to its reply, and what happens when the client goes away."""

import asyncio
import contextlib
import logging
import os
import secrets
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from neonblue_local.clickhouse.bodies import LOOP_BYTES, Incoming, choose_packing
from neonblue_local.clickhouse.engine import Engine, Run
from neonblue_local.clickhouse.errors import ClickHouseError
from neonblue_local.clickhouse.execution import Execution
from neonblue_local.clickhouse.protocol import Request, error_reply, error_text, late_error, reply_headers
from neonblue_local.clickhouse.sessions import Sessions
from neonblue_local.clickhouse.sql_text import Kind, Statement, parse
from neonblue_local.clickhouse.streams import SEND_SECONDS, Message, Outgoing, Pipe, Receive, Send, reply

log = logging.getLogger(__name__)

THREADS = 64  # statements at once; most of the time a thread waits for the engine or for a slow client
WAITING = 512  # statements at once, running and queued
CHUNK = 1 << 20  # bytes; a result up to this size gets the right status even if it fails late
MEMORY_RESULT = 1 << 23  # bytes of a result held back (wait_end_of_query) in memory; beyond, on disk
STATEMENT_BYTES = 1 << 24
PING_SECONDS = 5
LAST_SECONDS = 4  # for running statements and the engine, after the server has waited for its clients


class ClientGone(Exception):
    """The connection was closed before the request was complete."""


class Gateway:
    """ClickHouse's HTTP interface over one engine."""

    def __init__(self, engine: Engine, user: str, password: str, max_body_bytes: int) -> None:
        self._engine = engine
        self._credentials = (user, password)
        self._max_body_bytes = max_body_bytes
        self._workers = ThreadPoolExecutor(THREADS, "statement")
        self._control = ThreadPoolExecutor(2, "control")  # ping and kill must not wait behind statements
        self._sessions = Sessions()
        self._running: dict[str, Execution] = {}  # by query id

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(Request.of(scope), receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.get_running_loop().run_in_executor(self._control, self._close)
        await send({"type": "lifespan.shutdown.complete"})

    def _close(self) -> None:
        """Stop what still runs, then the engine. A statement that cannot be stopped must not keep the process."""
        last = threading.Timer(LAST_SECONDS, _leave)
        last.daemon = True
        last.start()
        for execution in list(self._running.values()):
            execution.cancelled = True
            self._engine.kill(execution.run.mark)
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._sessions.close()
        self._engine.close()
        last.cancel()
        log.info("stopped")

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        if request.path in ("/ping", "/replicas_status") or (
            request.path == "/" and not request.values.keys() - {"query_id"} and request.method in ("GET", "HEAD")
        ):
            status, body = await self._ping()
            await reply(send, status, [(b"content-type", b"text/plain; charset=UTF-8")], body)
        elif request.path != "/":
            text = f"There is no handle {request.path}\n\nUse / or /ping for health checks.\nSend queries to /.\n"
            await reply(send, 404, [(b"content-type", b"text/plain; charset=UTF-8")], text.encode(errors="replace"))
        else:
            try:
                await self._serve(request, receive, send)
            except ClientGone:
                log.info("%s: the client went away while it sent its request", request.query_id)
            except ClickHouseError as error:
                log.info("%s: %.400s", request.query_id, error)
                headers, body = error_reply(request, error, self._engine.version)
                await reply(send, error.status, headers, body)

    async def _ping(self) -> tuple[int, bytes]:
        answer = asyncio.get_running_loop().run_in_executor(self._control, self._engine.answers)
        try:
            good = await asyncio.wait_for(answer, PING_SECONDS)
        except TimeoutError:
            return 503, f"The engine did not answer SELECT 1 within {PING_SECONDS} s.\n".encode()
        except ClickHouseError as error:
            return 503, error_text(error, self._engine.version) + b"\n"
        return (200, b"Ok.\n") if good else (503, b"The engine answered SELECT 1 with something else.\n")

    async def _serve(self, request: Request, receive: Receive, send: Send) -> None:
        request.authenticate(*self._credentials)
        request.refuse_unsupported()
        incoming = Incoming(request.header(b"content-encoding"), self._max_body_bytes, self._engine.path)
        try:
            await _read_body(incoming, receive)
            if max(len(request.query), incoming.size) > LOOP_BYTES:
                prefix, statement = await asyncio.to_thread(_statement, request, incoming)
            else:
                prefix, statement = _statement(request, incoming)
            execution = await self._admit(request, statement)
            try:
                async with self._watched(execution, receive):
                    await self._run(request, execution, incoming, prefix, send)
            finally:
                self._dismiss(execution)
        finally:
            incoming.close()

    async def _run(self, request: Request, execution: Execution, incoming: Incoming, prefix: bytes, send: Send) -> None:
        statement, body = execution.statement, b""
        if statement.kind is Kind.SELECT:
            await self._stream(request, execution, send)
            return
        if statement.kind is Kind.INSERT:
            at = statement.data_at
            data = await self._in_thread(incoming.data_file, prefix[at:], max(at - len(prefix), 0))
            counts = await self._in_thread(execution.insert, data)
        else:
            counts, body = await self._in_thread(execution.other, request.default_format)
        self._dismiss(execution)
        name = (statement.format or request.default_format) if body or statement.has_result else None
        headers = reply_headers(request, self._engine.timezone, counts, name)
        await reply(send, 200, headers, body, _packing(request) if body else None)

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work, *arguments)

    async def _admit(self, request: Request, statement: Statement) -> Execution:
        """Give the statement its place among those that run, and in its session."""
        if request.query_id in self._running:
            message = f"Query with id = {request.query_id} is already running."
            raise ClickHouseError.of("QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", message)
        if len(self._running) >= WAITING:
            message = f"{WAITING} statements run or wait: try again later."
            raise ClickHouseError.of("TOO_MANY_SIMULTANEOUS_QUERIES", message)
        if statement.first == "KILL":
            statement = await self._with_engine_ids(statement)
        run = Run(secrets.token_hex(8), request.database, request.settings, request.params, request.method != "POST")
        session = self._sessions.enter(request) if request.values.get("session_id") else None
        execution = Execution(self._engine, request.query_id, run, statement, session, request.external)
        self._running[request.query_id] = execution
        return execution

    def _dismiss(self, execution: Execution) -> None:
        """Free the query id and the session: before the reply's last byte, since the client's next request may follow
        at once. Doing it again changes nothing."""
        if self._running.get(execution.query_id) is execution:
            del self._running[execution.query_id]
            if execution.session is not None:
                self._sessions.leave(execution.session)

    async def _with_engine_ids(self, statement: Statement) -> Statement:
        """KILL QUERY with the query ids of this interface replaced by the engine's."""
        text = statement.text
        for query_id, execution in list(self._running.items()):
            quoted = f"'{query_id}'".encode()
            if quoted in text:
                known = await self._in_thread(self._engine.engine_query_id, execution.run.mark)
                text = text.replace(quoted, f"'{known}'".encode()) if known else text
        return Statement(text, statement.kind, statement.first, statement.format)

    @contextlib.asynccontextmanager
    async def _watched(self, execution: Execution, receive: Receive) -> AsyncIterator[None]:
        """Stop a reading statement when its client goes away; one that writes is brought to its end."""

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            execution.cancelled = execution.statement.reads_only
            while execution.cancelled:  # again, since the statement may not have begun
                await asyncio.get_running_loop().run_in_executor(self._control, self._engine.kill, execution.run.mark)
                await asyncio.sleep(0.1)

        watcher = asyncio.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()

    async def _stream(self, request: Request, execution: Execution, send: Send) -> None:
        """A SELECT's rows from the engine's pipe to the client, as fast as the client takes them."""
        name = execution.statement.format or request.default_format
        held_back = request.flag("wait_end_of_query")
        loop = asyncio.get_running_loop()
        with tempfile.SpooledTemporaryFile(MEMORY_RESULT, dir=str(self._engine.path)) as start:
            rows, writing = Pipe.open()
            done = asyncio.ensure_future(self._in_thread(execution.select, name, writing))
            done.add_done_callback(lambda _: self._dismiss(execution))
            try:
                while (held_back or start.tell() < CHUNK) and (chunk := await rows.read(CHUNK)):
                    start.write(chunk)
                counts = await done if rows.ended else None
                start.seek(0)
                headers = reply_headers(request, self._engine.timezone, counts, name)
                if rows.ended and (body := start.read(CHUNK + 1)) and len(body) <= CHUNK:
                    await reply(send, 200, headers, body, _packing(request))
                    return
                start.seek(0)
                out = Outgoing(send, _packing(request))
                tag = secrets.token_hex(8)
                await out.start([*headers, (b"x-clickhouse-exception-tag", tag.encode())])
                while chunk := start.read(CHUNK):
                    await out.write(chunk)
                while chunk := await rows.read(CHUNK):
                    await out.write(chunk)
                try:
                    await done
                except ClickHouseError as error:
                    log.info("%s: after the first bytes: %.400s", request.query_id, error)
                    await out.write(late_error(error, self._engine.version, tag), last=True)
                    return  # without the end of the body: the connection breaks, so that no client takes it for whole
                await out.end()
            except TimeoutError:
                log.warning(
                    "%s: the client took nothing for %s s, its query is stopped", request.query_id, SEND_SECONDS
                )
                await loop.run_in_executor(self._control, self._engine.kill, execution.run.mark)
            finally:
                rows.close()
                await asyncio.gather(done, return_exceptions=True)


async def _read_body(incoming: Incoming, receive: Receive) -> None:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        incoming.take(message.get("body", b""))
        more = message.get("more_body", False)
    incoming.finish()


def _statement(request: Request, incoming: Incoming) -> tuple[bytes, Statement]:
    """The statement, and the part of it that was not in the body. As in ClickHouse, URL and body are one text."""
    body = bytes(incoming.head)
    if request.header(b"content-type").startswith("multipart/form-data"):
        request.take_form(incoming.whole())
        body = b""
    prefix = request.query.rstrip()
    prefix += b"\n" if prefix else b""
    statement = parse(prefix + body)
    if statement.kind is not Kind.INSERT and incoming.size > len(incoming.head) and body:
        if incoming.size > STATEMENT_BYTES:
            message = (
                f"Max query size exceeded: the statement has {incoming.size} bytes, the limit is {STATEMENT_BYTES}."
            )
            raise ClickHouseError.of("SYNTAX_ERROR", message)
        statement = parse(prefix + incoming.whole())
    return prefix, statement


def _packing(request: Request) -> str | None:
    if not request.flag("enable_http_compression"):
        return None
    return choose_packing(request.header(b"accept-encoding"))


def _leave() -> None:
    log.error(
        "a statement or the engine did not stop within %s s; leaving without it, its data are on disk", LAST_SECONDS
    )
    logging.shutdown()
    os._exit(1)
