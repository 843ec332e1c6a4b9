"""Alarms on real servers and a real HTTP receiver: each trouble told once when it breaks and once when it heals."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import dagster as dg
import pytest

from neonblue_local.parts import PARTS, NotReady
from neonblue_local.supervision import Supervisor
from neonblue_pipeline import alarms, dagster_findings, probes, sensors, significance
from neonblue_pipeline.assets import checks
from neonblue_pipeline.definitions import defs
from neonblue_pipeline.probes import Finding
from neonblue_pipeline.publication import sufficient_statistics
from neonblue_pipeline.resources import Servers
from neonblue_pipeline.settings import Settings, read_settings
from tests.fix_alarm_receiver import Receiver, receiver
from tests.fix_stack import Stack
from tests.integration.pipeline.conftest import NotYet, Pipeline, eventually

BROKEN = Finding("disk", "the disk is full", "0 bytes free", "make room")
OTHER = Finding("lag", "the stream is late", "9 s", "wait")


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def watched(pipeline: Pipeline, no_daemon: None, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings with the receiver; nobody else looks meanwhile, and nothing is known to be broken."""
    monkeypatch.setenv("NEONBLUE_ALARM_URLS", hook.url)
    monkeypatch.setenv("NEONBLUE_ALARM_LASTS_S", "0")
    monkeypatch.delenv("NEONBLUE_API_URL", raising=False)  # the pipeline's tests run without an API
    pipeline.postgres("truncate alarms, alarm_messages")
    yield read_settings()
    pipeline.postgres("truncate alarms, alarm_messages")


class Looker:
    """Evaluates the sensor as Dagster's daemon does, with the cursor of the last time."""

    def __init__(self) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: str | None = None

    def look(self) -> dg.SensorResult:
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=defs, resources={"servers": Servers()}
        ) as context:
            result = sensors.alarm_sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def until(self, condition: Callable[[], Any]) -> None:
        @eventually
        def reached() -> None:
            self.look()
            if not condition():
                raise NotYet("the alarm that was waited for did not come")

        reached()


def test_a_server_that_stops_is_told_once_and_its_return_once(
    watched: Settings, connect_stack: Stack, hook: Receiver
) -> None:
    what = "ClickHouse does not answer"

    def told(kind: str) -> int:
        return sum(body["message"].count(what) for body in hook.of_kind(kind))

    looker = Looker()
    looker.look()
    supervisor, part = Supervisor(connect_stack.home), PARTS["clickhouse"]
    supervisor.stop_part(part)
    try:
        looker.until(lambda: told("broken"))
        for _ in range(2):
            looker.look()
        assert [alarm.what for alarm in alarms.read(watched) if what in alarm.what] == [f"{what} as it should"]
    finally:
        supervisor.start_part(part)
        _await_answer(part, connect_stack)
    looker.until(lambda: told("healed"))
    for _ in range(2):
        looker.look()
    assert (told("broken"), told("healed")) == (1, 1)
    message = next(body["message"] for body in hook.of_kind("broken") if what in body["message"])
    assert all(part in message for part in ("since: 20", "how bad: ", "what to do: "))
    assert not [alarm for alarm in alarms.read(watched) if what in alarm.what]


@eventually
def _await_answer(part: Any, stack: Stack) -> None:
    with suppress(NotReady):
        part.probe(stack.home, stack.settings, 0)
        return
    raise NotYet(f"{part.name} does not answer")


def test_a_check_is_shown_on_its_asset_when_it_changes_and_only_then(watched: Settings) -> None:
    looker = Looker()
    first = {event.check_name for event in looker.look().asset_events}
    assert first == {probe.check for probe in probes.PROBES}
    assert looker.look().asset_events == []


def test_a_failed_check_of_any_asset_is_an_alarm_until_it_passes(watched: Settings, hook: Receiver) -> None:
    looker = Looker()

    def evaluated(passed: bool) -> None:
        told = None if passed else "event 10:00 to 10:05: 7 before this hop, 6 after it"
        looker.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(dg.AssetKey("reconciliation"), "windows_are_proven", passed, description=told)
        )

    evaluated(False)
    looker.look()
    looker.until(lambda: any("windows_are_proven" in body["message"] for body in hook.of_kind("broken")))
    assert any("6 after it" in body["message"] for body in hook.of_kind("broken"))
    evaluated(True)
    looker.until(lambda: any("windows_are_proven" in body["message"] for body in hook.of_kind("healed")))


def test_a_job_whose_last_run_failed_is_an_alarm_until_one_succeeds(watched: Settings) -> None:
    @dg.op
    def step(config: dict[str, bool]) -> None:
        if config["fails"]:
            raise dg.Failure("it fails")

    @dg.job(name="live")
    def live() -> None:
        step()

    instance = dg.DagsterInstance.ephemeral()
    found = []
    for fails in (True, False):
        run_config = {"ops": {"step": {"config": {"fails": fails}}}}
        live.execute_in_process(run_config=run_config, instance=instance, raise_on_error=False)
        with dg.build_sensor_context(instance=instance, definitions=defs) as context:
            found.append([finding.key for finding in dagster_findings.look(context)["jobs"]])
    assert found == [["job live"], []]


def test_an_alarm_is_told_once_per_destination_however_often_it_is_seen(watched: Settings, hook: Receiver) -> None:
    for findings in ([], [BROKEN], [BROKEN, OTHER], [BROKEN, OTHER], [OTHER], [OTHER], []):
        alarms.record(watched, {"probe": findings})
        alarms.deliver(watched)
    titles = [body["title"] for _, body in hook.taken]
    assert titles == [
        "NeonBlue: broken: the disk is full",
        "NeonBlue: broken: the stream is late",
        "NeonBlue: healed: the disk is full",
        "NeonBlue: healed: the stream is late",
    ]
    assert [alarm.healed_at is None for alarm in alarms.read(watched, everything=True)] == [False, False]


def test_a_message_that_the_service_refuses_is_sent_again_and_arrives_once(watched: Settings, hook: Receiver) -> None:
    hook.refuses = True
    alarms.record(watched, {"probe": [BROKEN]})
    assert alarms.deliver(watched) == 0
    hook.refuses = False
    assert (alarms.deliver(watched), alarms.deliver(watched)) == (1, 0)
    assert [body["type"] for _, body in hook.taken] == ["warning"]
    assert hook.refused >= 1


def test_what_a_silent_probe_told_before_stays_open(watched: Settings) -> None:
    alarms.record(watched, {"probe": [BROKEN], "other": []})
    change = alarms.record(watched, {"probe": [OTHER], "other": []}, silent=["probe"])
    assert ([alarm.key for alarm in change.broken], list(change.healed)) == (["lag"], [])
    change = alarms.record(watched, {"probe": [], "other": []})
    assert sorted(alarm.key for alarm in change.healed) == ["disk", "lag"]


def test_trouble_of_a_moment_is_told_to_nobody(watched: Settings, hook: Receiver) -> None:
    patient = watched.model_copy(update={"alarm_lasts_s": 600.0})
    alarms.record(patient, {"probe": [BROKEN]})
    alarms.record(patient, {"probe": [BROKEN]})
    alarms.record(watched, {"probe": []})
    alarms.deliver(watched)
    assert hook.taken == []
    assert alarms.read(watched, everything=True) == []


def test_users_who_are_not_split_as_planned_are_an_alarm(watched: Settings, pipeline: Pipeline) -> None:
    key, x = pipeline.create_experiment([("proportion", "click", None)])
    pipeline.assign(key, {f"{key}-{n}": "control" if n < 150 else "new" for n in range(200)})
    pipeline.await_everything()
    pipeline.build()
    cells = [cell for cell in sufficient_statistics(pipeline.server) if cell["experiment_id"] == x]
    pipeline.server.insert("experiment_quality_rows", significance.QUALITY_COLUMNS, significance.analyse(cells)[1])
    seen = {one.probe.check: one.findings for one in probes.look(watched, probes.Positions(), deadline_s=60)}
    told = [f for f in seen["users_are_split_as_planned"] if f.key == f"sample ratio: {key}"]
    assert len(told) == 1
    assert "control 150, new 50" in told[0].how_bad
    pipeline.postgres("update experiments set status = 'stopped', stopped_at = now() where experiment_id = %s", (x,))
    pipeline.postgres("select publish_experiment(%s)", (x,))

    @eventually
    def no_alarm_for_an_experiment_that_is_over() -> None:
        rows = pipeline.server.read("mismatched_splits")
        assert key not in {row["experiment"] for row in rows}

    no_alarm_for_an_experiment_that_is_over()


def test_users_seen_in_several_variants_fail_their_check(watched: Settings, pipeline: Pipeline) -> None:
    key, x = pipeline.create_experiment([("proportion", "click", None)])
    pipeline.assign(key, {f"{key}-{n}": "control" for n in range(10)})
    shown = {"user_id": f"{key}-1", "event_type": "exposure", "experiment": key, "properties": {"variant": "new"}}
    pipeline.await_events(pipeline.send([shown]))
    job = dg.Definitions(
        asset_checks=[checks.one_variant_a_user],
        jobs=[dg.define_asset_job("alone", selection=dg.AssetSelection.checks(checks.one_variant_a_user))],
        resources={"servers": Servers()},
    ).resolve_job_def("alone")
    (evaluation,) = job.execute_in_process(instance=dg.DagsterInstance.ephemeral()).get_asset_check_evaluations()
    assert not evaluation.passed
    assert f"experiment '{key}': 1 of 10" in (evaluation.description or "")
    pipeline.postgres("update experiments set status = 'stopped', stopped_at = now() where experiment_id = %s", (x,))
    pipeline.postgres("select publish_experiment(%s)", (x,))
