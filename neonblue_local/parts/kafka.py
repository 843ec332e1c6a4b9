"""Kafka: one broker that is its own controller (KRaft)."""

import base64
import subprocess
import uuid
from collections.abc import Mapping

from neonblue_local import java
from neonblue_local.errors import PartFailed
from neonblue_local.home import Home
from neonblue_local.jars import lock
from neonblue_local.parts.base import BEHIND_REPLIES, NotReady, Part

_HEAP_MB = 320
# Without the second compiler a start takes half the CPU (1.7 s for 3.5 s), and 150,000 messages 1.35 s for 1.8 s: the
# broker hands bytes on, and has little that would repay optimising.
_OPTIONS = ("-XX:TieredStopAtLevel=1",)
_CONFIGURATION = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=PLAINTEXT://{broker},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{broker}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
num.partitions=4
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
log.retention.hours=168
# Files that retention or an erasure ended are looked for so often.
log.retention.check.interval.ms=30000
log.segment.bytes=134217728
log.cleaner.dedupe.buffer.size=16777216
# After a kill the broker waits until its old registration has run out.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""


class Kafka(Part):
    name = "kafka"
    what = "Kafka: topic experiments_events"
    ports = ("kafka", "kafka-controller")
    stop_seconds = 30
    niceness = BEHIND_REPLIES

    def command(self, home: Home) -> list[str]:
        return java.command(home, self.name)

    def prepare(self, home: Home, settings: Mapping[str, str]) -> None:
        data = home.data(self.name)
        configuration = home.etc / "kafka.properties"
        configuration.write_text(
            _CONFIGURATION.format(broker=home.address("kafka"), controller=home.address("kafka-controller"), data=data)
        )
        java.write_arguments(home, self.name, _HEAP_MB, "kafka.Kafka", str(configuration), options=_OPTIONS)
        if not (data / "meta.properties").is_file():
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            # In one word: an id in 64 begins with a dash, and would be taken for an option.
            tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(configuration))
            result = subprocess.run(  # noqa: S603  (our own program and arguments)
                [str(java.executable()), "-XX:TieredStopAtLevel=1", "-cp", lock.class_path(java.JARS), *tool],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            log = home.log_file(self.name)
            with log.open("a") as file:
                file.write(result.stdout)
            if result.returncode:
                reason = result.stdout.strip().rpartition("\n")[2].rstrip(".") or f"exit code {result.returncode}"
                raise PartFailed(
                    f"kafka: its storage in {data} could not be formatted: {reason}. "
                    f"All of it is in {log}; repair what it names, then `neonblue up` again"
                )

    def probe(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        try:
            # NoBrokersAvailable and timeouts are KafkaErrors too.
            client = KafkaAdminClient(
                bootstrap_servers=settings["NEONBLUE_KAFKA_BOOTSTRAP"],
                request_timeout_ms=3000,
                bootstrap_timeout_ms=3000,
            )
            try:
                client.list_topics()
            finally:
                client.close()
        except (KafkaError, OSError) as error:
            raise NotReady(f"list of topics: {error!r}") from error

    def seconds_to_stop(self) -> int:
        return self.stop_seconds + (0 if java.has_cache(self.name) else java.SECONDS_TO_WRITE_CACHE)

    def stopped(self, home: Home, *, cleanly: bool) -> None:
        java.keep_cache(home, self.name, whole=cleanly)
