"""Kafka over TLS: the pipeline's clients and Connect, with the authority that they are given and with a wrong one."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from kafka.errors import KafkaError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from neonblue_local.home import Home
from neonblue_local.parts.connect import Connect
from neonblue_local.parts.kafka import Kafka
from neonblue_pipeline import kafka
from neonblue_pipeline.settings import TOPIC, Settings
from tests.fix_authority import Authority
from tests.fix_stack import _free_port_base

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    folder = tmp_path_factory.mktemp("authorities")
    return Authority(folder, "ours"), Authority(folder, "another")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = Home(tmp_path_factory.mktemp("home") / "state", _free_port_base())
    made.create()
    return made


@pytest.fixture(scope="module")
def broker(home: Home, authorities: tuple[Authority, Authority]) -> Iterator[str]:
    """The embedded stack's broker, with its listener for clients over TLS."""
    part = Kafka()
    part.prepare(home, {})
    configuration = home.etc / "kafka.properties"
    text = configuration.read_text().replace("PLAINTEXT://", "SSL://").replace("PLAINTEXT:PLAINTEXT", "SSL:SSL")
    text += "inter.broker.listener.name=SSL\nssl.keystore.type=PEM\nssl.truststore.type=PEM\n"
    text += f"ssl.keystore.location={authorities[0].both}\nssl.truststore.location={authorities[0].file}\n"
    configuration.write_text(text)
    with _running(home, part):
        yield home.address("kafka")


class _running:
    def __init__(self, home: Home, part: Kafka | Connect) -> None:
        self._command, self._log = part.command(home), home.log_file(part.name)

    def __enter__(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        return self._process

    def __exit__(self, *_: object) -> None:
        # Without TERM no cache of classes is written, which takes longer than everything here.
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def _settings(broker: str, authority: Authority) -> Settings:
    return Settings(
        postgres_url="postgresql://p",
        clickhouse_url="http://c",
        connect_url="http://c",
        kafka_bootstrap=broker,
        kafka_security_protocol="SSL",
        kafka_ssl_cafile=str(authority.file),
    )


@retry(retry=retry_if_exception_type(KafkaError), stop=stop_after_delay(90), wait=wait_fixed(0.2), reraise=True)
def _create_topic(settings: Settings) -> bool:
    return kafka.ensure_topic(settings)


def test_the_pipeline_reaches_kafka_by_the_right_authority_alone(
    broker: str, authorities: tuple[Authority, Authority]
) -> None:
    ours, another = authorities
    assert _create_topic(_settings(broker, ours)) is True
    assert kafka.end_offsets(_settings(broker, ours)) == dict.fromkeys(range(4), (0, 0))
    with pytest.raises(KafkaError):
        kafka.ensure_topic(_settings(broker, another))
    plain = _settings(broker, ours).model_copy(update={"kafka_security_protocol": "PLAINTEXT"})
    with pytest.raises(KafkaError):
        kafka.ensure_topic(plain)


def test_connect_reaches_kafka_over_tls_and_keeps_its_topics_there(
    broker: str, home: Home, authorities: tuple[Authority, Authority]
) -> None:
    _create_topic(_settings(broker, authorities[0]))
    part = Connect()
    part.prepare(
        home,
        {
            "NEONBLUE_KAFKA_BOOTSTRAP": broker,
            "NEONBLUE_KAFKA_SECURITY_PROTOCOL": "SSL",
            "NEONBLUE_KAFKA_SSL_CAFILE": str(authorities[0].file),
        },
    )
    with _running(home, part) as process:
        give_up_at = time.monotonic() + 120
        while True:
            assert process.poll() is None, Path(home.log_file("connect")).read_text()[-3000:]
            try:
                if httpx.get(f"http://{home.address('connect')}/connectors", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < give_up_at, Path(home.log_file("connect")).read_text()[-3000:]
            time.sleep(0.2)
    with kafka.admin(_settings(broker, authorities[0])) as client:
        assert {"connect-configs", "connect-offsets", "connect-status", TOPIC} <= set(client.list_topics())
