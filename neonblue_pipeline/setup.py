"""`python -m neonblue_pipeline.setup`: everything that must stand before the first event. `--check` only looks."""

import argparse
import base64
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from neonblue_pipeline import servers
from neonblue_pipeline.errors import PipelineError
from neonblue_pipeline.settings import DATABASE, Settings, read_settings
from neonblue_pipeline.sqlfiles import SqlFile, sql_files

_TIMEOUT_S = 3


def missing(settings: Settings) -> list[str]:
    """What still has to be set up, a sentence each; empty when all stands. Reads, never writes."""
    return [*_missing_postgres(settings), *_missing_clickhouse(settings), *_missing_connector(settings)]


def _compare(files: list[SqlFile], applied: dict[str, str]) -> list[str]:
    return [
        f"sql/{file.name} " + ("changed since it was applied" if applied.get(file.name) else "is not applied")
        for file in files
        if applied.get(file.name) != file.checksum
    ]


def _missing_postgres(settings: Settings) -> list[str]:
    import psycopg

    from neonblue_pipeline import restores

    applied: dict[str, str] = {}
    try:
        with psycopg.connect(settings.postgres_url, connect_timeout=_TIMEOUT_S) as connection:
            if restore := restores.underway(connection):
                return [f"PostgreSQL's content is incomplete: {restore}"]
            applied = dict(connection.execute("select name, checksum from applied_files").fetchall())
    except psycopg.errors.UndefinedTable:
        pass  # nothing was ever applied
    except psycopg.OperationalError as error:
        return [f"PostgreSQL does not answer: {str(error).strip()}"]
    return _compare(list(sql_files("postgres")), applied)


def _missing_clickhouse(settings: Settings) -> list[str]:
    query = f"select name, checksum from {DATABASE}.applied_files final format JSONCompact"  # noqa: S608
    url = urllib.parse.urlsplit(settings.clickhouse_url)
    credentials = f"{urllib.parse.unquote(url.username or 'default')}:{urllib.parse.unquote(url.password or '')}"
    address = url._replace(netloc=url.netloc.rpartition("@")[2], path="/").geturl()
    headers = {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}
    try:
        body = _get(f"{address}?query={urllib.parse.quote(query)}", headers)
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        if "UNKNOWN_TABLE" not in text and "UNKNOWN_DATABASE" not in text:
            return [f"ClickHouse refused to show its ledger: {text[:300]}"]
        body = b'{"data": []}'
    except OSError as error:
        return [f"ClickHouse at {address} does not answer: {error}"]
    files = [file.rendered(settings.sql_variables) for file in sql_files("clickhouse")]
    return _compare(files, dict(json.loads(body)["data"]))


def _missing_connector(settings: Settings) -> list[str]:
    from neonblue_pipeline.connector import definition
    from neonblue_pipeline.settings import CONNECTOR

    try:
        found = json.loads(_get(f"{settings.connect_url}/connectors/{CONNECTOR}/config", {}))
    except urllib.error.HTTPError as error:
        return [f"connector '{CONNECTOR}' is not registered (Kafka Connect answered {error.code})"]
    except OSError as error:
        return [f"Kafka Connect at {settings.connect_url} does not answer: {error}"]
    found.pop("name", None)
    return (
        []
        if found == definition(settings)
        else [f"connector '{CONNECTOR}' has another configuration than connector.json"]
    )


def _get(url: str, headers: dict[str, str]) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_S) as answer:  # noqa: S310
        return answer.read()


def adopt(settings: Settings, name: str) -> None:
    """Records a file as applied without running it, for a database that already has its shape."""
    from neonblue_pipeline import ledger
    from neonblue_pipeline.errors import SchemaError

    name = name.removeprefix("sql/")
    found = [file for file in sql_files(name.split("/")[0]) if file.name == name]
    if not found:
        raise SchemaError(f"sql/{name} does not exist")
    file = found[0].rendered(settings.sql_variables)
    if name.startswith("postgres/"):
        with ledger.postgres_schema(settings) as postgres:
            postgres.record(file)
    else:
        with ledger.clickhouse_schema(settings, "neonblue_pipeline.setup --adopt") as clickhouse:
            clickhouse.record(file)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m neonblue_pipeline.setup", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="only look; exit 1 with the reasons if something is missing"
    )
    parser.add_argument("--adopt", metavar="FILE", help="record a changed SQL file as applied without running it")
    options = parser.parse_args(arguments)
    try:
        settings = read_settings()
        if options.check:
            reasons = missing(settings)
            print("\n".join(reasons) or "everything is set up", file=sys.stderr if reasons else sys.stdout)
            return 1 if reasons else 0
        if options.adopt:
            adopt(settings, options.adopt)
            print(f"{options.adopt} is recorded as applied")
            return 0
        if unfit := [one for looked in servers.look(settings) for one in looked.unfit]:
            print("\n".join(str(one) for one in unfit), file=sys.stderr)
            if any(one.needed for one in unfit):
                return 1
        from neonblue_pipeline.materialize import run_job

        started = time.monotonic()
        run_id = run_job("setup")
        print(f"set up in {time.monotonic() - started:.1f} s, Dagster run {run_id}")
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
