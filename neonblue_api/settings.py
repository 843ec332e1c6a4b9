"""Everything a deployment may set, read from the environment; docs/contracts.md names the servers."""

import re
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from limits import parse
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_FORMS = {
    "postgres_url": ("postgresql://", "postgresql://user:password@host:port/experiments"),
    "clickhouse_url": ("http", "http://user:password@host:port"),
    "redis_url": ("redis", "redis://user:password@host:port/0, or rediss:// for TLS"),
    "lockout_storage": ("async+", "async+redis://host:port, or async+memory://"),
}
_FROM_ENVIRONMENT: dict[str, Any] = {}  # every field has its source in the environment


class SettingsError(Exception):
    """One line for each setting that is missing or wrong."""


class Settings(BaseSettings):
    """Servers have no default. Sizes are bytes, times seconds."""

    model_config = SettingsConfigDict(env_prefix="NEONBLUE_", extra="ignore", str_strip_whitespace=True)

    postgres_url: SecretStr
    clickhouse_url: SecretStr
    api_token: SecretStr = Field(min_length=16)
    # What Prometheus reads /metrics with; without it only the token above does.
    metrics_token: SecretStr | None = Field(None, min_length=16)

    # PostgreSQL: a reply or a 503 comes within two seconds, so what waits for the database gives up before that.
    pool_size: int = Field(10, ge=1, le=200)
    pool_timeout: float = Field(1.0, gt=0)
    statement_timeout: float = Field(1.4, gt=0)
    database_deadline: float = Field(1.5, gt=0)
    clickhouse_timeout: float = Field(10, gt=0)
    # Bytes of PostgreSQL's disk below which facts are refused; 0 never refuses.
    min_free_disk: int = Field(1 << 30, ge=0)

    # What a client may send.
    max_body: int = Field(1 << 20, ge=1024)
    max_batch_body: int = Field(32 << 20, ge=1024)  # after decompression
    max_batch: int = Field(10_000, ge=1)
    max_properties: int = Field(64 << 10, ge=2)  # as PostgreSQL writes them: 1e308 counts as 309 bytes
    max_depth: int = Field(32, ge=1, le=500)
    max_future: float = Field(300, ge=0)
    max_age: float = Field(3 * 366 * 86_400, gt=0)
    body_timeout: float = Field(30, gt=0)

    # Origins of pages that may call the API from a browser, separated by commas; * for any.
    cors_origins: str = ""

    drain: float = Field(0.5, ge=0)  # from SIGTERM on, for clients and balancers to turn elsewhere

    # Of the rotation of api_token: works beside it until it is taken out.
    api_token_before: SecretStr | None = Field(None, min_length=16)
    # An address that sent more unknown tokens in so many seconds is locked out for the rest of them; 0 guesses: never.
    lockout_guesses: int = Field(20, ge=0)
    lockout_window: int = Field(60, ge=1)
    # Where guesses are counted: a storage of the library limits; async+redis://… counts for all processes together.
    lockout_storage: SecretStr = SecretStr("async+memory://")

    token_cache: float = Field(5, ge=0)  # how long a revoked token may still work on another process

    # Redis, if there is one: a request that it does not answer in time goes on without; for `redis_pause` nobody asks.
    redis_url: SecretStr | None = None
    redis_timeout: float = Field(0.012, gt=0, le=0.012)
    redis_pause: float = Field(5, gt=0)
    # For how long a definition is good without PostgreSQL being asked again; 0 asks each time.
    definition_lease: float = Field(0.5, ge=0, le=0.9)
    assignment_cache: int = Field(50_000, ge=0)  # assignments that a process remembers, about 300 bytes each
    # Silence after which a user's next event without session_id begins a new session; 0 gives events none.
    session_gap: float = Field(0, ge=0, le=86_400)
    # Requests of a token to a route: "POST /v1/events=1000/second, *=50/second"; * is each route that is not named.
    rate_limits: str = ""

    # People: erased ones are known again by a hash under this key, and nobody is named with pseudonymous_users.
    privacy_key: SecretStr | None = None
    pseudonymous_users: bool = False
    # What becomes of an event of somebody who was erased: refused, or kept without user, session and properties.
    erased_users: Literal["refuse", "anonymous"] = "refuse"

    @field_validator("privacy_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch("[A-Za-z0-9_-]{32,64}", value.get_secret_value()):
            raise ValueError("must be 32 to 64 characters of A-Z a-z 0-9 _ -, as `openssl rand -hex 32` makes them")
        return value

    @model_validator(mode="after")
    def _pseudonyms_have_a_key(self) -> Self:
        if self.pseudonymous_users and self.privacy_key is None:
            raise ValueError("NEONBLUE_PSEUDONYMOUS_USERS needs NEONBLUE_PRIVACY_KEY, by which pseudonyms are made")
        return self

    @field_validator("postgres_url", "clickhouse_url", "redis_url", "lockout_storage")
    @classmethod
    def _is_a_url(cls, value: SecretStr | None, info: object) -> SecretStr | None:
        start, form = _FORMS[info.field_name]  # type: ignore[attr-defined]
        if value is not None and not value.get_secret_value().startswith(start):
            raise ValueError(f"must have the form {form}")
        return value

    @field_validator("clickhouse_url")
    @classmethod
    def _is_no_more_than_a_server(cls, value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        if parts.path.strip("/") or parts.query:
            raise ValueError(f"must have the form {_FORMS['clickhouse_url'][1]}, with nothing after it")
        return value

    @field_validator("redis_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @field_validator("rate_limits")
    @classmethod
    def _are_limits(cls, value: str) -> str:
        _rate_limits(value)
        return value

    def rate_limits_by_route(self) -> dict[str, str]:
        """Route, or *, to a rate as the library limits reads it."""
        return _rate_limits(self.rate_limits)


def _rate_limits(text: str) -> dict[str, str]:
    """Raises ValueError."""
    found = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        route, _, rate = (part.strip() for part in entry.rpartition("="))
        try:
            parse(rate)
        except ValueError:
            raise ValueError(f"{entry!r}: must have the form POST /v1/events=1000/second") from None
        found[route] = rate
    return found


def load_settings() -> Settings:
    """Raises SettingsError, which names every setting that is missing or wrong; never shows a secret's value."""
    try:
        return Settings(**_FROM_ENVIRONMENT)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False):
            if not problem["loc"]:
                lines.append(problem["msg"].removeprefix("Value error, "))
                continue
            name = "NEONBLUE_" + str(problem["loc"][0]).upper()
            form = _FORMS.get(str(problem["loc"][0]), ("", ""))[1]
            if problem["type"] == "missing":
                lines.append(f"{name} is not set" + (f"; it must have the form {form}" if form else ""))
            else:
                lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}")
        lines.append("`neonblue env` prints the settings of the embedded stack as export lines")
        raise SettingsError("\n".join(lines)) from None
