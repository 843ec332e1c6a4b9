"""What `neonblue doctor` looks at from outside: every server that the settings name, whoever runs it."""

import email.utils
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from neonblue_local.errors import LocalError
from neonblue_local.findings import Finding
from neonblue_local.parts import NotReady
from neonblue_local.parts.dagster import graphql

# Without them nothing can be looked at; the form is what a message shows.
NEEDED = {
    "NEONBLUE_POSTGRES_URL": "postgresql://user:password@host:port/experiments",
    "NEONBLUE_DAGSTER_POSTGRES_URL": "postgresql+psycopg2://user:password@host:port/dagster",
    "NEONBLUE_CLICKHOUSE_URL": "http://user:password@host:port",
    "NEONBLUE_KAFKA_BOOTSTRAP": "host:port,host:port",
    "NEONBLUE_CONNECT_URL": "http://host:port",
    "NEONBLUE_API_URL": "http://host:port",
    "NEONBLUE_API_TOKEN": "a secret of at least 16 characters: openssl rand -base64 24",
    "NEONBLUE_DAGSTER_URL": "http://host:port",
}
_SECRETS = ("NEONBLUE_POSTGRES_URL", "NEONBLUE_DAGSTER_POSTGRES_URL", "NEONBLUE_CLICKHOUSE_URL", "NEONBLUE_REDIS_URL")
_SHORTEST_PASSWORD = 12
_PATIENCE_S = 5
_LEAST_REDIS = (6, 2)
_DAEMONS = "query { instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"


def examine(settings: Mapping[str, str]) -> list[Finding]:
    """A finding for each setting that is missing, for the secrets, and for each server. Only reads."""
    missing = [name for name in NEEDED if not settings.get(name)]
    findings = [Finding(name, "", f"it is not set; it must have the form {NEEDED[name]}") for name in missing]
    findings.append(_secrets(settings))
    if not {"NEONBLUE_POSTGRES_URL", "NEONBLUE_CLICKHOUSE_URL", "NEONBLUE_KAFKA_BOOTSTRAP", "NEONBLUE_CONNECT_URL"} & {
        *missing
    }:
        findings += _servers(settings)
    looks: list[tuple[str, str, Callable[[Mapping[str, str]], str]]] = [
        ("API", "NEONBLUE_API_URL", _api),
        ("Dagster's PostgreSQL", "NEONBLUE_DAGSTER_POSTGRES_URL", _dagster_postgres),
        ("Dagster", "NEONBLUE_DAGSTER_URL", _dagster),
        ("Redis", "NEONBLUE_REDIS_URL", _redis),
    ]
    for subject, setting, look in looks:
        if settings.get(setting):
            findings.append(_look(subject, setting, look, settings))
    return findings


def _look(subject: str, setting: str, look: Callable[[Mapping[str, str]], str], settings: Mapping[str, str]) -> Finding:
    try:
        return Finding(subject, look(settings))
    except LocalError as error:
        return Finding(subject, "", str(error))
    # Whatever a client raises is what there is to tell.
    except Exception as error:  # noqa: BLE001
        said = (str(error).strip().splitlines() or [repr(error)])[0][:300]
        remedy = "start it, or correct the address, user and password in the setting"
        return Finding(subject, "", f"{setting}: {subject} does not answer as it should ({said}); {remedy}")


def _secrets(settings: Mapping[str, str]) -> Finding:
    short = [
        name
        for name in _SECRETS
        if settings.get(name) and len(unquote(urlsplit(settings[name]).password or "")) < _SHORTEST_PASSWORD
    ]
    if short:
        remedy = f"give the user one of at least {_SHORTEST_PASSWORD} characters, as docs/operations.md says"
        return Finding("passwords", "", f"{', '.join(short)}: the password is missing or short; {remedy}")
    return Finding("passwords", f"each has at least {_SHORTEST_PASSWORD} characters")


def _servers(settings: Mapping[str, str]) -> list[Finding]:
    from neonblue_pipeline import servers
    from neonblue_pipeline.errors import PipelineError
    from neonblue_pipeline.settings import read_settings

    os.environ.update({name: value for name, value in settings.items() if name.startswith("NEONBLUE_")})
    try:
        looked = servers.look(read_settings())
    except PipelineError as error:
        return [Finding("settings", "", str(error))]
    return [
        Finding(one.server, one.found, "\n     ".join(str(unfit) for unfit in one.unfit) if one.unfit else None)
        for one in looked
    ]


def _api(settings: Mapping[str, str]) -> str:
    from neonblue_pipeline.servers import skew

    url = settings["NEONBLUE_API_URL"]
    before = time.time()
    status, text, date = _get(f"{url}/readyz")
    after = time.time()
    if status != 200:
        raise LocalError(f"NEONBLUE_API_URL: /readyz says {status} {text[:300]}; what it names has to be put right")
    # The header has whole seconds.
    if date and (wrong := skew("NEONBLUE_API_URL", "the API", date, before - 1, after)):
        raise LocalError(str(wrong[0]))
    if token := settings.get("NEONBLUE_API_TOKEN"):
        status, text, _ = _get(f"{url}/v1/experiments?limit=1", {"Authorization": f"Bearer {token}"})
        if status != 200:
            remedy = "give this command and the API the same, and start the API anew"
            raise LocalError(f"NEONBLUE_API_TOKEN: the API says {status} to it; {remedy}")
    return f"ready at {url}"


def _dagster_postgres(settings: Mapping[str, str]) -> str:
    import psycopg

    from neonblue_pipeline.settings import psycopg_url

    url = settings["NEONBLUE_DAGSTER_POSTGRES_URL"]
    if not url.startswith("postgresql+psycopg2://"):
        raise LocalError(
            "NEONBLUE_DAGSTER_POSTGRES_URL: it names no driver, or another one; it must begin with postgresql+psycopg2://"
        )
    with psycopg.connect(psycopg_url(url), connect_timeout=_PATIENCE_S) as connection:
        found = connection.execute("select current_database(), to_regclass('runs') is not null").fetchone()
    assert found is not None
    return f"database {found[0]}, {'with its tables' if found[1] else 'no tables yet'}"


def _dagster(settings: Mapping[str, str]) -> str:
    try:
        statuses = graphql(settings, _DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
    except NotReady as error:
        raise LocalError(f"NEONBLUE_DAGSTER_URL: {error}; start dagster-webserver, or correct the address") from error
    if ill := [one["daemonType"] for one in statuses if one["required"] and not one["healthy"]]:
        remedy = "start `dagster-daemon run` with the same DAGSTER_HOME and NEONBLUE_DAGSTER_POSTGRES_URL"
        raise LocalError(f"NEONBLUE_DAGSTER_URL: daemons without a heartbeat: {', '.join(ill)}; {remedy}")
    return "answers, its daemons run"


def _redis(settings: Mapping[str, str]) -> str:
    import redis

    with redis.Redis.from_url(
        settings["NEONBLUE_REDIS_URL"], socket_timeout=_PATIENCE_S, socket_connect_timeout=_PATIENCE_S
    ) as client:
        found = client.info()
        limit = client.config_get("maxmemory*") if _may_read_settings(client) else {}
    version = tuple(int(part) for part in found["redis_version"].split(".")[:2])
    if version < _LEAST_REDIS:
        need = ".".join(map(str, _LEAST_REDIS))
        raise LocalError(
            f"NEONBLUE_REDIS_URL: it is of version {found['redis_version']}; upgrade it to {need} or newer"
        )
    if limit.get("maxmemory", "0") != "0" and limit.get("maxmemory-policy") == "noeviction":
        raise LocalError(
            "NEONBLUE_REDIS_URL: maxmemory-policy is noeviction, so that it refuses to write when it is full; "
            "set maxmemory-policy allkeys-lru"
        )
    return f"version {found['redis_version']}, {found['used_memory_human']} used"


def _may_read_settings(client: "redis.Redis") -> bool:  # type: ignore[name-defined]  # noqa: F821
    """Managed servers refuse the command."""
    import redis

    try:
        client.config_get("maxmemory")
    except redis.ResponseError:
        return False
    return True


def _get(url: str, headers: dict[str, str] | None = None) -> tuple[int, str, float | None]:
    """Status, text, and the server's clock as its header Date tells it."""
    asked = urllib.request.Request(url, headers=headers or {})  # noqa: S310 - the operator's own setting
    try:
        with urllib.request.urlopen(asked, timeout=_PATIENCE_S) as answer:  # noqa: S310
            status, text, date = answer.status, answer.read().decode(errors="replace"), answer.headers["Date"]
    except urllib.error.HTTPError as error:
        with error:
            status, text, date = error.code, error.read().decode(errors="replace"), error.headers["Date"]
    moment = email.utils.parsedate_to_datetime(date).timestamp() if date else None
    return status, _detail(text), moment


def _detail(text: str) -> str:
    """The API's own words, where its answer is its error object."""
    try:
        return str(json.loads(text).get("detail") or text)
    except (ValueError, AttributeError):
        return text
