"""The audit log against somebody who has every right in PostgreSQL, and against an ordinary role."""

import threading
from collections.abc import Callable, Iterator

import dagster as dg
import psycopg
import pytest

from neonblue_pipeline import audit
from neonblue_pipeline.assets import checks
from neonblue_pipeline.errors import AuditError
from neonblue_pipeline.resources import Servers
from neonblue_pipeline.settings import Settings
from tests.fix_postgres import SUPERUSER, OwnPostgres, own_postgres
from tests.integration.api.fix_api import PROJECT, apply_schema

ENTRIES = 6
RECORD = "select record_audit(%s, %s, %s, %s, %s::jsonb, %s::jsonb, %s, %s)"


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_postgres() as made:
        apply_schema(made.url())
        yield made


@pytest.fixture
def settings(server: OwnPostgres) -> Settings:
    return Settings(postgres_url=server.url(), clickhouse_url="http://c", kafka_bootstrap="k:1", connect_url="http://c")


@pytest.fixture
def superuser(server: OwnPostgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.url(SUPERUSER), autocommit=True) as connection:
        yield connection


@pytest.fixture
def log(superuser: psycopg.Connection, server: OwnPostgres) -> Iterator[psycopg.Connection]:
    """A connection of the owner; the log holds ENTRIES entries of everything that an entry may hold."""
    superuser.execute("alter table audit_log disable trigger all")
    superuser.execute("delete from audit_log")
    superuser.execute("alter table audit_log enable trigger all")
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for number in range(ENTRIES):
            after = '{"n": 9007199254740993, "x": 1.50, "s": "a:,-\\u00e4\\n\\"", "list": [null, true, 1e308]}'
            connection.execute(RECORD, (f"ä, {number}", "change", "experiment", f"k{number}", None, after, "r:1", None))
        yield connection


def _tampered(superuser: psycopg.Connection, *statements: str) -> None:
    superuser.execute("alter table audit_log disable trigger all")
    for statement in statements:
        superuser.execute(statement)
    superuser.execute("alter table audit_log enable trigger all")


def test_a_log_that_nobody_touched_is_whole(log: psycopg.Connection, settings: Settings) -> None:
    proof = audit.verify(settings)
    assert (proof.broken, proof.entries) == (None, ENTRIES)
    assert proof.head is not None
    assert audit.verify(settings, proof.head).broken is None


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'somebody else'",
        "actor_id = 7",
        "at = at - interval '1 microsecond'",
        "request_id = null",
        "action = 'start'",
        "subject_type = 'metric'",
        "subject = 'k9'",
        "before = '{}'",
        "after = jsonb_set(after, '{x}', '1.5')",
        "salt = null",
        "salt = '\\x00'",
        "content_sha256 = audit_digest(encode(salt, 'hex'), 'k9', null, after::text), subject = 'k9'",
        "entry_sha256 = sha256('x')",
    ],
)
def test_an_entry_that_was_altered_behind_the_triggers_is_named(
    log: psycopg.Connection, superuser: psycopg.Connection, settings: Settings, change: str
) -> None:
    _tampered(superuser, f"update audit_log set {change} where number = 3")
    broken = audit.verify(settings).broken
    assert broken is not None
    assert broken.number == 3, broken


def test_an_entry_that_was_taken_out_or_put_in_is_named(
    log: psycopg.Connection, superuser: psycopg.Connection, settings: Settings
) -> None:
    _tampered(superuser, "delete from audit_log where number = 4")
    broken = audit.verify(settings).broken
    assert broken is not None
    assert broken.number == 4
    _tampered(superuser, "update audit_log set number = number - 1 where number > 4")
    moved = audit.verify(settings).broken
    assert moved is not None
    assert moved.number == 4
    _tampered(superuser, "update audit_log set number = number + 100 where number > 3",
              "update audit_log set number = number - 99 where number > 100",
              "insert into audit_log select 4, at, actor, actor_id, request_id, action, subject_type, subject, before, "
              "after, salt, content_sha256, sha256('x') from audit_log where number = 2")  # fmt: skip
    put_in = audit.verify(settings).broken
    assert put_in is not None
    assert put_in.number == 4


def test_a_log_whose_end_was_cut_off_or_that_was_made_anew_is_found_by_the_end_that_was_noted(
    log: psycopg.Connection, superuser: psycopg.Connection, settings: Settings
) -> None:
    noted = audit.verify(settings).head
    assert noted is not None
    _tampered(superuser, f"delete from audit_log where number = {ENTRIES}")
    assert audit.verify(settings).broken is None
    broken = audit.verify(settings, noted).broken
    assert broken is not None
    assert broken.number == ENTRIES
    log.execute(RECORD, ("x", "change", "experiment", "another", None, None, None, None))
    broken = audit.verify(settings, noted).broken
    assert broken is not None
    assert (broken.number, "made anew" in broken.what) == (ENTRIES, True)


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_log set actor = 'x'",
        "update audit_log set subject = 'x'",
        "update audit_log set entry_sha256 = sha256('x')",
        "delete from audit_log",
        "truncate audit_log",
    ],
)
def test_no_role_changes_or_deletes_an_entry(
    log: psycopg.Connection, superuser: psycopg.Connection, server: OwnPostgres, settings: Settings, statement: str
) -> None:
    superuser.execute("drop owned by reader; drop role reader" if _exists(superuser, "reader") else "select")
    superuser.execute("create role reader login password 'a-password-of-the-tests'")
    superuser.execute("grant select, insert on audit_log to reader")
    with psycopg.connect(server.url("reader"), autocommit=True) as reader:
        for connection in (log, reader, superuser):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    assert audit.verify(settings).broken is None


def _exists(superuser: psycopg.Connection, role: str) -> bool:
    return superuser.execute("select from pg_roles where rolname = %s", (role,)).fetchone() is not None


def test_what_a_role_inserts_by_itself_is_chained_like_everything_else(
    log: psycopg.Connection, settings: Settings
) -> None:
    log.execute(
        """insert into audit_log (number, actor, action, subject_type, content_sha256, entry_sha256)
           values (99, 'x', 'x', 'x', sha256('a'), sha256('b'))"""
    )
    proof = audit.verify(settings)
    assert (proof.broken, proof.entries) == (None, ENTRIES + 1)


def test_writers_at_once_and_transactions_that_are_given_up_leave_one_chain(
    log: psycopg.Connection, server: OwnPostgres, settings: Settings
) -> None:
    def write(name: str) -> None:
        with psycopg.connect(server.url()) as connection:
            for number in range(20):
                connection.execute(RECORD, (name, "change", "metric", str(number), None, "{}", None, None))
                (connection.rollback if number % 4 == 3 else connection.commit)()

    writers = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    proof = audit.verify(settings)
    assert (proof.broken, proof.entries) == (None, ENTRIES + 8 * 15)


def test_an_entry_never_makes_intake_wait(log: psycopg.Connection, server: OwnPostgres) -> None:
    with psycopg.connect(server.url()) as holder:
        holder.execute(RECORD, ("x", "change", "metric", "m", None, None, None, None))
        log.execute("set statement_timeout = '5s'")
        event = (
            '[{"id": "0193a1c2-7d1e-7c3a-9b55-0a54a8a3a1d7", "user_id": "u", "event_type": "x", "properties": {}, '
            '"timestamp": "2026-01-02T10:00:00Z", "experiment": null}]'
        )
        assert log.execute("select * from accept_events(%s)", (event,)).fetchall() == []
        holder.rollback()


def test_what_tells_of_a_person_is_blanked_and_the_chain_stays_whole(
    log: psycopg.Connection, settings: Settings, superuser: psycopg.Connection
) -> None:
    user = "anna/of the house"
    for kind, subject in (("assignment", f"x/{user}"), ("user", user), ("assignment", "x/another"), ("metric", user)):
        log.execute(RECORD, ("shop", "delete", kind, subject, f'{{"user_id": "{user}"}}', None, None, 3))
    blank: Callable[[], object] = lambda: log.execute("select blank_audit(%s, 'shop', 'r-2', 3)", (user,)).fetchone()  # noqa: E731
    assert blank() == (2,)
    assert blank() == (0,)
    proof = audit.verify(settings)
    assert (proof.broken, proof.blanked, proof.entries) == (None, 2, ENTRIES + 5)
    blanked = log.execute(
        "select number, subject, before, actor_id from audit_log where salt is null order by 1"
    ).fetchall()
    assert blanked == [(ENTRIES + 1, None, None, 3), (ENTRIES + 2, None, None, 3)]
    told = log.execute("select action, subject, after from audit_log order by number desc limit 1").fetchone()
    assert told == ("blank", None, {"entries": [ENTRIES + 1, ENTRIES + 2]})
    _tampered(
        superuser, "update audit_log set subject = null, before = null, after = null, salt = null where number = 2"
    )
    broken = audit.verify(settings).broken
    assert broken is not None
    assert (broken.number, "no entry says so" in broken.what) == (2, True)


def test_an_end_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(AuditError, match="'12' is no end"):
        audit.read_head("12")


def test_changes_that_an_earlier_version_kept_are_taken_over_in_their_order(
    log: psycopg.Connection, superuser: psycopg.Connection, settings: Settings, server: OwnPostgres
) -> None:
    _tampered(superuser, "delete from audit_log")
    log.execute("drop view changes")
    log.execute(
        """create table changes (change_id bigint generated always as identity primary key,
               changed_at timestamptz not null default now(), changed_by text not null, request_id text,
               object_type text not null, object_key text not null, action text not null, before jsonb, after jsonb)"""
    )
    for number in range(3):
        log.execute(
            """insert into changes (changed_at, changed_by, object_type, object_key, action, after)
               values (timestamptz '2026-01-01Z' + interval '1 day' * %s, 'editor', 'metric', 'm', 'change',
                       '{"a": 1}')""",
            (number,),
        )
    for name in ("020_experiments.sql", "100_audit.sql"):
        log.execute((PROJECT / "sql" / "postgres" / name).read_text())
    rows = log.execute("select number, at::date::text, actor, after from audit_log order by number").fetchall()
    assert rows == [(n + 1, f"2026-01-0{n + 1}", "editor", {"a": 1}) for n in range(3)]
    assert audit.verify(settings).broken is None
    # A process of the earlier version, which is not replaced yet, writes on.
    log.execute(
        """insert into changes (changed_by, request_id, object_type, object_key, action, before, after)
           values ('editor', 'r', 'metric', 'm', 'change', null, '{"a": 2}')"""
    )
    rows = log.execute("select number, request_id, after from audit_log order by number desc limit 1").fetchall()
    assert rows == [(4, "r", {"a": 2})]
    assert audit.verify(settings).broken is None


def test_the_daily_check_demands_the_end_that_it_saw_the_time_before(
    log: psycopg.Connection, superuser: psycopg.Connection, server: OwnPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {
        "POSTGRES_URL": server.url(),
        "CLICKHOUSE_URL": "http://c",
        "KAFKA_BOOTSTRAP": "k:1",
        "CONNECT_URL": "http://c",
    }
    for name, value in told.items():
        monkeypatch.setenv(f"NEONBLUE_{name}", value)
    job = dg.define_asset_job("daily", selection=dg.AssetSelection.checks(checks.audit_log_is_whole))
    definitions = dg.Definitions(
        assets=[dg.AssetSpec("audit_log")],
        asset_checks=[checks.audit_log_is_whole],
        jobs=[job],
        resources={"servers": Servers()},
    )
    with dg.DagsterInstance.ephemeral() as instance:

        def evaluated() -> dg.AssetCheckEvaluation:
            (found,) = (
                definitions.resolve_job_def("daily").execute_in_process(instance=instance).get_asset_check_evaluations()
            )
            return found

        assert evaluated().passed
        _tampered(superuser, f"delete from audit_log where number = {ENTRIES}")
        for _ in range(2):
            cut_off = evaluated()
            assert not cut_off.passed
            assert f"entry {ENTRIES}: it is missing" in str(cut_off.description)
        # A restore brings an older end back, and says so in the log.
        audit.record(log, "restore", "backup", None, {"made_at": "2026-01-01T00:00:00+00:00"})
        assert evaluated().passed
