"""Figures, alerts and dashboards on the running stack: what the rules and panels name is there, and says what is so.

The tests with a real Prometheus need its programs `prometheus` and `promtool` (Debian's package `prometheus`): on PATH,
or the variable PROMETHEUS names the first and the second lies beside it. Without them they are skipped.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import yaml
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from neonblue_local.parts import PARTS
from neonblue_local.supervision import Supervisor
from neonblue_pipeline.settings import CONNECTOR
from tests.end_to_end.journey import Platform
from tests.fix_compose import check, services
from tests.fix_monitoring import CONFIGURATION, RULES, Query, alerts, as_grafana_would, metric_names, queries, rules
from tests.fix_stack import Stack

PAGES = {"neonblue-api": "NEONBLUE_API_URL", "neonblue-exporter": "NEONBLUE_EXPORTER_URL"}


class NotYet(Exception):
    pass


eventually = retry(
    retry=retry_if_exception_type(NotYet), stop=stop_after_delay(120), wait=wait_fixed(0.25), reraise=True
)


@pytest.fixture(scope="module")
def experiment(platform: Platform) -> str:
    """The key of an experiment with results, whose users are not split as planned, and a refused event."""
    key = f"watched_{uuid4().hex[:8]}"
    platform.create_experiment(key, [("buy", "proportion")])
    users = [f"{key}-{number}" for number in range(160)]
    chosen = [{"experiment": key, "user_id": user, "variant_key": "control"} for user in users[:120]]
    chosen += [{"experiment": key, "user_id": user, "variant_key": "new"} for user in users[120:]]
    platform.post("/v1/assignments/batch", {"assignments": chosen})
    events = [
        {"id": str(uuid4()), "user_id": user, "event_type": kind, "experiment": key}
        for number, user in enumerate(users)
        for kind in ("exposure", "buy")[: 1 + number % 2]
    ]
    platform.post("/v1/events/batch", {"events": [*events, {"user_id": "", "event_type": "buy"}]})
    platform.await_events([event["id"] for event in events])
    platform.refresh()
    return key


def _scrape(stack: Stack, job: str) -> str:
    token = {"Authorization": f"Bearer {stack.settings['NEONBLUE_METRICS_TOKEN']}"}
    reply = httpx.get(f"{stack.settings[PAGES[job]]}/metrics", headers=token, timeout=20, trust_env=False)
    assert reply.status_code == 200, reply.text
    return reply.text


def test_every_figure_that_rules_and_panels_name_is_told_by_the_running_stack(stack: Stack, experiment: str) -> None:
    text = "".join(_scrape(stack, job) for job in PAGES)
    told = set(re.findall(r"^(neonblue_\w+)[{ ]", text, re.MULTILINE)) | {
        rule["record"] for rule in rules() if "record" in rule
    }
    # Told while there is something to tell: windows are compared once they are over.
    told |= set(re.findall(r"^# TYPE (neonblue_reconciliation_compared_until_timestamp_seconds) ", text, re.MULTILINE))
    asked = [rule["expr"] for rule in rules()] + [query.text for query in queries() if not query.is_sql]
    assert {name for promql in asked for name in metric_names(promql)} - told == set()


def test_figures_of_a_stack_that_is_well_say_so(stack: Stack, experiment: str) -> None:
    @eventually
    def all_has_arrived() -> dict[str, float]:
        text = _scrape(stack, "neonblue-exporter")
        found = {name: float(value) for name, value in re.findall(r"^(neonblue_\S+) (\S+)$", text, re.MULTILINE)}
        if found["neonblue_outbox_backlog_rows"]:
            raise NotYet(f"{found['neonblue_outbox_backlog_rows']:.0f} rows of the outbox have not landed")
        return found

    found = all_has_arrived()
    text = _scrape(stack, "neonblue-exporter")
    assert set(re.findall(r"^neonblue_probe_answered\{.*\} (\S+)$", text, re.MULTILINE)) == {"1.0"}
    assert 'neonblue_connect_tasks{kind="task",state="RUNNING"} 1.0' in text
    assert f'neonblue_sample_ratio_mismatch_p_value{{experiment="{experiment}"}}' in text
    assert found["neonblue_slot_active"] == 1
    assert abs(time.time() - found["neonblue_landing_newest_timestamp_seconds"]) < 600
    assert found["neonblue_results_cutoff_timestamp_seconds"] > 1.7e9


@pytest.mark.parametrize("query", [query for query in queries() if query.is_sql], ids=str)
def test_a_panel_that_reads_clickhouse_shows_something_and_changes_nothing(
    platform: Platform, experiment: str, query: Query
) -> None:
    reply = httpx.post(
        platform.settings["NEONBLUE_CLICKHOUSE_URL"],
        params={"database": "experiments_analytics", "readonly": "1"},
        content=f"{as_grafana_would(query, experiment, f'{experiment}.buy.proportion')}\nformat JSON",
        timeout=30,
        trust_env=False,
    )
    assert reply.status_code == 200, reply.text
    answer = reply.json()
    assert answer["rows"] > 0
    names = [column["name"] for column in answer["meta"]]
    if "$__timeFilter" in query.text:
        assert names[0] == "time"
        assert answer["meta"][0]["type"].startswith("DateTime"), answer["meta"]


def test_the_lift_of_the_panel_is_that_of_the_results(platform: Platform, experiment: str) -> None:
    (query,) = [query for query in queries() if query.panel == "Lift and its interval"]
    _, variant, lift, low, high = platform.clickhouse(
        as_grafana_would(query, experiment, f"{experiment}.buy.proportion")
    )[-1]
    (metric,) = platform.get(f"/v1/experiments/{experiment}/results")["metrics"]
    (treatment,) = [found for found in metric["variants"] if found["variant"] == variant]
    assert treatment["relative"]["estimate"] == pytest.approx(lift)
    assert (treatment["sequential"]["relative"]["low"], treatment["sequential"]["relative"]["high"]) == (
        pytest.approx(low),
        pytest.approx(high),
    )


# With a real Prometheus


@pytest.fixture(scope="module")
def programs() -> tuple[str, str]:
    """prometheus and promtool."""
    prometheus = os.environ.get("PROMETHEUS") or shutil.which("prometheus")
    if not prometheus:
        pytest.skip("no program `prometheus` on PATH or in the variable PROMETHEUS; Debian's package has it")
    tool = Path(prometheus).with_name("promtool")
    return prometheus, str(tool)


def _configuration(stack: Stack, folder: Path) -> Path:
    """docker/prometheus as it is, but with the addresses and the token of this stack, and a look each second."""
    token = folder / "token"
    token.write_text(stack.settings["NEONBLUE_METRICS_TOKEN"])
    told = yaml.safe_load(CONFIGURATION.read_text())
    told["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    told["rule_files"] = [str(RULES)]
    for job in told["scrape_configs"]:
        job["authorization"]["credentials_file"] = str(token)
        job["static_configs"] = [{"targets": [stack.settings[PAGES[job["job_name"]]].removeprefix("http://")]}]
        if job["job_name"] == "neonblue-exporter":
            # As configured: a look at a server that is away takes up to six seconds.
            job |= {"scrape_interval": "10s", "scrape_timeout": "10s"}
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(told))
    return path


@pytest.fixture(scope="module")
def prometheus(
    programs: tuple[str, str], stack: Stack, experiment: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A Prometheus that reads the stack, as a client of its HTTP interface."""
    folder = tmp_path_factory.mktemp("prometheus")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {
        "--config.file=/etc/prometheus/prometheus.yml": f"--config.file={_configuration(stack, folder)}",
        "--storage.tsdb.path=/prometheus": f"--storage.tsdb.path={folder / 'data'}",
    }
    command = services()["prometheus"]["command"]
    assert set(places) <= set(command)
    words = [places.get(word, word) for word in command]
    listen = [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    process = subprocess.Popen([programs[0], *words, *listen], cwd=folder)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False, timeout=10)

    @eventually
    def both_pages_were_read_twice() -> None:
        assert process.poll() is None, f"prometheus ended with {process.returncode}"
        try:
            result = client.get("/query", params={"query": "count_over_time(up[1h]) and up == 1"}).json()["data"][
                "result"
            ]
        except (httpx.TransportError, KeyError) as error:
            raise NotYet(str(error)) from error
        if len([one for one in result if float(one["value"][1]) >= 2]) < len(PAGES):
            raise NotYet(f"read were: {result}")

    try:
        both_pages_were_read_twice()
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(20)


def test_configuration_and_rules_are_right_for_prometheus_own_tool(
    programs: tuple[str, str], stack: Stack, tmp_path: Path
) -> None:
    for arguments in (["check", "config", str(_configuration(stack, tmp_path))], ["check", "rules", str(RULES)]):
        result = subprocess.run([programs[1], *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        assert f"{len(rules())} rules" in result.stdout, result.stdout


@pytest.mark.parametrize("job", PAGES)
def test_names_and_units_follow_the_conventions_by_prometheus_own_tool(
    programs: tuple[str, str], stack: Stack, experiment: str, job: str
) -> None:
    command = [programs[1], "check", "metrics"]
    result = subprocess.run(command, input=_scrape(stack, job), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_health_check_of_the_container_is_green_on_it(prometheus: httpx.Client) -> None:
    words = check(services()["prometheus"])
    if not shutil.which(words[0]):
        pytest.skip(f"no program `{words[0]}` on PATH, which the image of Prometheus has")
    address = f"{prometheus.base_url.host}:{prometheus.base_url.port}"
    words = [word.replace("127.0.0.1:9090", address) for word in words]
    assert subprocess.run(words, check=False).returncode == 0


def _asked(prometheus: httpx.Client, promql: str) -> list[dict]:
    text = promql.replace("$__rate_interval", "1m")
    assert "$__" not in text
    reply = prometheus.get("/query", params={"query": text})
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]["result"]


def test_every_rule_is_loaded_and_evaluated_without_an_error(prometheus: httpx.Client) -> None:
    groups = prometheus.get("/rules").json()["data"]["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert sorted(rule["name"] for rule in found) == sorted(rule.get("alert") or rule["record"] for rule in rules())
    assert [rule for rule in found if rule.get("lastError")] == []


@pytest.mark.parametrize("query", [query for query in queries() if not query.is_sql], ids=str)
def test_a_panel_that_reads_prometheus_shows_something(
    prometheus: httpx.Client, platform: Platform, query: Query
) -> None:
    if "compared_until" in query.text and not platform.postgres("select from reconciliation_windows limit 1"):
        pytest.skip("no window is over yet on a stack that was just started: the ledger is empty")

    @eventually
    def it_shows_something() -> None:
        platform.post("/v1/events", {"user_id": "u", "event_type": "watched"})  # rates need traffic
        found = _asked(prometheus, query.text)
        # Of a route that nobody asked lately no quantile is known.
        if all(one["value"][1] == "NaN" for one in found):
            raise NotYet(f"{query.text}: {found[:3]}")

    it_shows_something()


def _states(prometheus: httpx.Client) -> dict[str, str]:
    """Name of each alert that is on → pending or firing."""
    found = prometheus.get("/alerts").json()["data"]["alerts"]
    return {alert["labels"]["alertname"]: alert["state"] for alert in found}


@eventually
def _await_alert(prometheus: httpx.Client, name: str, states: tuple[str, ...] = ("pending", "firing")) -> None:
    if _states(prometheus).get(name) not in states:
        raise NotYet(f"{name} is not on; on are {_states(prometheus)}")


@retry(retry=retry_if_exception_type(NotYet), stop=stop_after_delay(500), wait=wait_fixed(0.25), reraise=True)
def _await_quiet(prometheus: httpx.Client, *names: str) -> None:
    if on := [name for name in names if name in _states(prometheus)]:
        raise NotYet(f"still on: {on}")


def test_a_connector_that_is_paused_and_an_uneven_split_raise_their_alerts(
    prometheus: httpx.Client, stack: Stack, experiment: str
) -> None:
    _await_alert(prometheus, "NeonblueSampleRatioMismatch")
    connector = f"{stack.connect_url}/connectors/{CONNECTOR}"
    httpx.put(f"{connector}/pause", trust_env=False).raise_for_status()
    try:
        _await_alert(prometheus, "NeonblueConnectorStopped")
    finally:
        httpx.put(f"{connector}/resume", trust_env=False).raise_for_status()
    _await_quiet(prometheus, "NeonblueConnectorStopped")


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("exporter", {"NeonblueExporterDown"}),
        ("api", {"NeonblueApiDown", "NeonblueServerSilent"}),
        ("connect", {"NeonblueServerSilent", "NeonblueSlotUnread", "NeonblueEventsLate"}),
        ("clickhouse", {"NeonblueServerSilent", "NeonblueTopicStandsStill"}),
        ("kafka", {"NeonblueServerSilent"}),
        ("postgres", {"NeonblueServerSilent", "NeonblueApiNotReady", "NeonblueApiErrors"}),
    ],
)
def test_a_part_that_is_down_raises_its_alerts_which_end_with_its_return(
    prometheus: httpx.Client, platform: Platform, stack: Stack, part: str, expected: set[str]
) -> None:
    supervisor = Supervisor(stack.home)
    _await_quiet(prometheus, *expected)
    supervisor.stop_part(PARTS[part])
    try:
        deadline = time.monotonic() + 400
        fired: set[str] = set()
        while fired != expected:
            assert time.monotonic() < deadline, f"{expected - fired} did not fire; on are {_states(prometheus)}"
            if part != "api":
                platform.api.post("/v1/events", json={"user_id": "u", "event_type": "watched"})
            fired |= {name for name, state in _states(prometheus).items() if state == "firing" and name in expected}
            time.sleep(0.5)
    finally:
        stack.up()
    _await_quiet(prometheus, *expected)


def test_no_alert_rests_on_a_figure_that_cannot_be(prometheus: httpx.Client) -> None:
    """The comparison of each alert, taken away, leaves a figure that is there."""
    for alert in alerts():
        figure = re.sub(r"\s(==|<|>)\s[\d.]+$", "", alert["expr"])
        assert _asked(prometheus, figure), alert["alert"]
