"""Settings of the pipeline, read from NEONBLUE_* variables. Servers have no defaults; see docs/contracts.md."""

from functools import cached_property
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from neonblue_pipeline.errors import SettingsMissing

DATABASE = "experiments_analytics"
TOPIC = "experiments_events"
CONSUMER_GROUP = "neonblue_landing"
CONNECTOR = "neonblue_outbox"
SLOT = "neonblue_outbox"
CANARY_USER = "neonblue-canary"
CANARY_TYPE = "neonblue_canary"


class Settings(BaseSettings):
    """One instance per process; `read_settings` names what is missing."""

    model_config = SettingsConfigDict(env_prefix="NEONBLUE_", extra="ignore")

    postgres_url: str
    clickhouse_url: str
    kafka_bootstrap: str
    connect_url: str
    api_url: str | None = None
    api_token: str | None = None
    dagster_postgres_url: str | None = None

    # How Connect and ClickHouse see the other servers, where that differs from how this process does (docker compose).
    connect_postgres_host: str | None = None
    # The connector's database.password, where that is not to be the password itself, which Connect keeps in Kafka and
    # shows on its REST interface: a reference to a config provider of the worker, such as ${env:NAME}.
    connect_postgres_password: str | None = None
    # Where the certificate of the authority lies for Connect: default sslrootcert of postgres_url.
    connect_postgres_sslrootcert: str | None = None
    clickhouse_kafka_bootstrap: str | None = None

    # This process → Kafka. Files are PEM; Connect's and ClickHouse's own way to Kafka is in their configuration.
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ssl_cafile: str | None = None
    kafka_ssl_certfile: str | None = None
    kafka_ssl_keyfile: str | None = None
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: str | None = Field(None, repr=False)

    kafka_partitions: int = Field(4, ge=1)
    kafka_replication: int = Field(1, ge=1)
    topic_keep_hours: int = Field(168, ge=1)
    max_message_bytes: int = Field(16 * 1024 * 1024, ge=1024 * 1024)
    # Freshness against idle work: the engine looks for messages every `reschedule` ms and writes what came when ten
    # looks of `poll` ms in all found nothing, or after `flush` ms: little load after 50 ms, a backlog in large blocks.
    # Each consumer takes blocks of its own through the views, at 40 to 100 ms of CPU a block however few its rows.
    clickhouse_consumers: int = Field(1, ge=1)
    clickhouse_flush_interval_ms: int = Field(250, ge=1)
    clickhouse_poll_timeout_ms: int = Field(5, ge=1)
    clickhouse_reschedule_ms: int = Field(20, ge=1)

    reconciliation_window_minutes: int = Field(5, ge=1, le=1440)
    # Days of acceptance that are kept before today; 0 keeps all. Only days that are proven are ever dropped.
    outbox_keep_days: int = Field(14, ge=0)
    events_keep_days: int = Field(0, ge=0)
    landing_keep_days: int = Field(92, ge=0)
    # Months of acceptance that events_processed keeps; what was counted from them stays.
    raw_events_keep_months: int = Field(0, ge=0)
    # Of dead letters that were sent again or given up.
    dead_letters_keep_days: int = Field(366, ge=0)
    # Finished runs of Dagster, with their logs.
    dagster_keep_days: int = Field(7, ge=1)
    # People are known by a hash under this key where they were erased; the API has the same.
    privacy_key: str | None = Field(None, min_length=32, max_length=64, pattern="^[A-Za-z0-9_-]+$")
    # An erasure that is not over after so long is told.
    erasure_hours: float = Field(24, gt=0)
    rollup_batch_events: int = Field(5_000_000, ge=1)
    health_timeout_s: float = Field(60, gt=0)
    # Where alarms go (neonblue_pipeline/notify.py): URLs with secrets, separated by spaces.
    alarm_urls: str = ""
    # A trouble is told when it has lasted so long, and healed when it has been gone for as long.
    alarm_lasts_s: float = Field(10, ge=0)
    # Asked after every look: a service that calls out when nobody asks it any more, as while PostgreSQL is down.
    alarm_heartbeat_url: str | None = None
    # What Prometheus reads the exporter's figures with; without it everybody who reaches its port may.
    metrics_token: str | None = None
    exporter_cache_s: float = Field(5, ge=0)
    connector_timeout_s: float = Field(90, gt=0)

    @field_validator("clickhouse_url")
    @classmethod
    def _is_no_more_than_a_server(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("must have the form http://user:password@host:port, with nothing after it")
        return url

    @field_validator("reconciliation_window_minutes")
    @classmethod
    def _a_day_has_whole_windows(cls, minutes: int) -> int:
        if 1440 % minutes:
            raise ValueError("must divide a day, as 5, 15 or 60 does")
        return minutes

    @field_validator("raw_events_keep_months")
    @classmethod
    def _events_go_before_what_follows_from_them(cls, months: int, info: ValidationInfo) -> int:
        days = info.data.get("events_keep_days", 0)
        if months and not 0 < days <= 28 * months:
            raise ValueError(
                "must be 0 (keep all) unless NEONBLUE_EVENTS_KEEP_DAYS is set, and shorter: PostgreSQL would send "
                "again what ClickHouse has dropped"
            )
        return months

    @field_validator("outbox_keep_days", "events_keep_days", "landing_keep_days")
    @classmethod
    def _each_outlives_the_one_before(cls, days: int, info: ValidationInfo) -> int:
        outbox = info.data.get("outbox_keep_days", 0)
        topic = -(-info.data.get("topic_keep_hours", 0) // 24)
        if info.field_name == "events_keep_days" and days and not outbox:
            raise ValueError("must be 0 (keep all) while NEONBLUE_OUTBOX_KEEP_DAYS is 0")
        least = {
            # Windows of the last day are compared again, and what the topic loses is sent again from the outbox.
            "outbox_keep_days": max(2, topic),
            "events_keep_days": outbox,  # the outbox is compared with the events
            "landing_keep_days": topic + 1,  # the topic is compared with landing
        }[str(info.field_name)]
        if 0 < days < least:
            raise ValueError(f"must be 0 (keep all) or at least {least}")
        return days

    @property
    def privacy_key_text(self) -> str:
        """As a session of PostgreSQL is told it (sql/postgres/062); empty where there is none."""
        return self.privacy_key or ""

    @cached_property
    def kafka_client(self) -> dict[str, Any]:
        """What every Kafka client of this process is made with."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap.split(","),
            "security_protocol": self.kafka_security_protocol,
            "ssl_cafile": self.kafka_ssl_cafile,
            "ssl_certfile": self.kafka_ssl_certfile,
            "ssl_keyfile": self.kafka_ssl_keyfile,
            "sasl_mechanism": self.kafka_sasl_mechanism,
            "sasl_plain_username": self.kafka_sasl_username,
            "sasl_plain_password": self.kafka_sasl_password,
        }
        return {name: value for name, value in options.items() if value is not None}

    @cached_property
    def connector_tls(self) -> dict[str, str]:
        """What the connector's definition says further where postgres_url asks for TLS."""
        asked = dict(parse_qsl(urlsplit(self.postgres_url).query))
        told = {
            "database.sslmode": asked.get("sslmode"),
            "database.sslrootcert": self.connect_postgres_sslrootcert or asked.get("sslrootcert"),
        }
        return {name: value for name, value in told.items() if value}

    @cached_property
    def connector_variables(self) -> dict[str, str]:
        """What connector.json leaves open."""
        url = urlsplit(self.postgres_url)
        return {
            "postgres_host": self.connect_postgres_host or url.hostname or "",
            "postgres_port": str(url.port or 5432),
            "postgres_user": unquote(url.username or ""),
            "postgres_password": self.connect_postgres_password or unquote(url.password or ""),
            "postgres_database": url.path.lstrip("/"),
            "slot": SLOT,
            "topic": TOPIC,
            "partitions": str(self.kafka_partitions),
            "replication": str(self.kafka_replication),
            "max_message_bytes": str(self.max_message_bytes),
        }

    @cached_property
    def sql_variables(self) -> dict[str, str]:
        """What the SQL files leave open."""
        return {
            "kafka_bootstrap": self.clickhouse_kafka_bootstrap or self.kafka_bootstrap,
            "topic": TOPIC,
            "consumer_group": CONSUMER_GROUP,
            "consumers": str(self.clickhouse_consumers),
            "poll_timeout_ms": str(self.clickhouse_poll_timeout_ms),
            "flush_interval_ms": str(self.clickhouse_flush_interval_ms),
            "reschedule_ms": str(self.clickhouse_reschedule_ms),
        }


def psycopg_url(url: str) -> str:
    """A URL of PostgreSQL for psycopg, of one for SQLAlchemy, which names the driver, too."""
    return url.replace("postgresql+psycopg2:", "postgresql:", 1)


def read_settings(**told: Any) -> Settings:
    """The settings of this process, but for those `told`. Raises SettingsMissing with the variables and the way out."""
    try:
        return Settings(**told)
    except ValidationError as error:
        said = ((str(e["loc"][0]).upper(), e["msg"].removeprefix("Value error, ")) for e in error.errors())
        wrong = "; ".join(f"NEONBLUE_{name}: {message[0].lower()}{message[1:]}" for name, message in said)
        raise SettingsMissing(f'{wrong}. For the embedded stack run `eval "$(neonblue env)"`') from None
