"""Kafka Connect with Debezium: reads PostgreSQL's log and writes Kafka. The connector itself is the pipeline's."""

from collections.abc import Mapping

from neonblue_local import environment, http, java
from neonblue_local.home import HOST, Home
from neonblue_local.parts.base import BEHIND_REPLIES, NotReady, Part

MAIN_CLASS = "org.apache.kafka.connect.cli.ConnectDistributed"
_HEAP_MB = 512
_CONFIGURATION = """\
bootstrap.servers={kafka}
group.id=neonblue-connect
listeners=http://{address}
rest.advertised.host.name={host}
rest.advertised.port={port}
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter.schemas.enable=false
config.storage.topic=connect-configs
offset.storage.topic=connect-offsets
status.storage.topic=connect-status
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=1
status.storage.partitions=1
offset.flush.interval.ms=1000
# Scanning the class path instead costs 2 to 3 s and 250 MB.
plugin.discovery=service_load
connector.client.config.override.policy=All
scheduled.rebalance.max.delay.ms=0
session.timeout.ms=10000
heartbeat.interval.ms=3000
# A connector's configuration may say ${{env:NEONBLUE_POSTGRES_PASSWORD}}: the password stays out of Kafka.
config.providers=env
config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider
config.providers.env.param.allowlist.pattern=NEONBLUE_POSTGRES_.*
"""


def worker_properties(settings: Mapping[str, str], host: str, port: int) -> str:
    """Configuration of a Connect worker that answers on `host` and `port`; the settings name Kafka and TLS to it."""
    kafka = settings["NEONBLUE_KAFKA_BOOTSTRAP"]
    told = _CONFIGURATION.format(kafka=kafka, address=f"{host}:{port}", host=host, port=port)
    protocol = settings.get("NEONBLUE_KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")
    authority = settings.get("NEONBLUE_KAFKA_SSL_CAFILE")
    security = {"security.protocol": protocol}
    if authority:
        security |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": authority}
    # The worker's own clients, and those of its connectors.
    for prefix in ("", "producer.", "consumer.", "admin."):
        told += "".join(f"{prefix}{name}={value}\n" for name, value in security.items())
    return told


class Connect(Part):
    name = "connect"
    what = "Kafka Connect with Debezium"
    ports = ("connect",)
    after = ("kafka",)
    # Its shutdown can hang, most when the broker is gone: it is stopped first, then killed.
    stop_seconds = 15
    niceness = BEHIND_REPLIES

    def command(self, home: Home) -> list[str]:
        return java.command(home, self.name)

    def environment(self, home: Home, settings: Mapping[str, str]) -> dict[str, str]:
        return {"NEONBLUE_POSTGRES_PASSWORD": environment.password(settings["NEONBLUE_POSTGRES_URL"])}

    def prepare(self, home: Home, settings: Mapping[str, str]) -> None:
        configuration = home.etc / "connect.properties"
        java.write_arguments(home, self.name, _HEAP_MB, MAIN_CLASS, str(configuration))
        configuration.write_text(worker_properties(settings, HOST, home.port(self.name)))

    def probe(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        try:
            status, text = http.request(f"{settings['NEONBLUE_CONNECT_URL']}/connectors")
        except OSError as error:
            raise NotReady(f"GET /connectors: {error}") from error
        # 503 while the worker still reads its configuration.
        if status != 200:
            raise NotReady(f"GET /connectors: {status} {text[:200]}")

    def seconds_to_stop(self) -> int:
        return self.stop_seconds + (0 if java.has_cache(self.name) else java.SECONDS_TO_WRITE_CACHE)

    def stopped(self, home: Home, *, cleanly: bool) -> None:
        java.keep_cache(home, self.name, whole=cleanly)
