"""docker/clickhouse read by the real engine: who may do what, and that dashboards can do with it what they need."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from neonblue_pipeline.settings import DATABASE, Settings
from neonblue_pipeline.sqlfiles import sql_files
from tests.fix_compose import DOCKER
from tests.fix_monitoring import as_grafana_would, queries

# Made by setup on a server that has a broker.
KAFKA = {"clickhouse/110_raw_events_kafka.sql", "clickhouse/190_landing_from_kafka.sql"}
NOBODY = "127.0.0.1:9"


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the container as this engine takes them: users.d merged, and a user `default` for the tests."""
    folder = tmp_path_factory.mktemp("clickhouse")
    subprocess.run(["sh", str(DOCKER / "make-secrets.sh"), str(folder / "secrets")], check=True, capture_output=True)
    users = ElementTree.parse(DOCKER / "clickhouse" / "users.xml").getroot()
    _merge(users, ElementTree.parse(folder / "secrets" / "clickhouse_passwords.xml").getroot())
    # Only the server takes this from its configuration; it says so, and knows everything else.
    limit = users.find("profiles/dashboards/constraints/max_execution_time")
    limit.remove(limit.find("changeable_in_readonly"))
    # What the image's own users.xml brings.
    users.find("users").remove(users.find("users/default"))
    for group in ("profiles", "quotas"):
        ElementTree.SubElement(users.find(group), "default")
    tester = "<networks><ip>::/0</ip></networks><profile>default</profile><access_management>1</access_management>"
    users.find("users").append(ElementTree.fromstring(f"<default><password/>{tester}</default>"))
    ElementTree.ElementTree(users).write(folder / "users.xml")
    server = ElementTree.parse(DOCKER / "clickhouse" / "config.xml").getroot()
    server.remove(server.find("logger"))
    ElementTree.SubElement(server, "users_config").text = str(folder / "users.xml")
    ElementTree.SubElement(server, "allow_impersonate_user").text = "1"
    ElementTree.ElementTree(server).write(folder / "config.xml")
    (folder / "data" / "metadata").mkdir(parents=True)  # without it a DROP of the engine waits for ever
    return folder


def _merge(into: ElementTree.Element, added: ElementTree.Element) -> None:
    for child in added:
        found = into.find(child.tag)
        if found is None:
            into.append(child)
        else:
            _merge(found, child)


@pytest.fixture(scope="module")
def answers(configuration: Path) -> dict[str, dict]:
    """Each statement below → what the engine gave; all in one engine, after the platform's tables were made."""
    nobody = {"postgres_url": f"postgresql://u:p@{NOBODY}/x", "clickhouse_url": f"http://{NOBODY}"}
    settings = Settings(**nobody, kafka_bootstrap=NOBODY, connect_url=f"http://{NOBODY}")
    schema = [f"create database {DATABASE}", f"use {DATABASE}"]
    for file in sql_files("clickhouse"):
        schema += file.rendered(settings.sql_variables).statements if file.name not in KAFKA else []
    asked = [
        "select name, auth_type from system.users order by name",
        "show grants for dashboards",
        "select quota_name, max_queries, max_read_rows from system.quota_limits order by quota_name",
        *BEYOND_LIMITS,
        "execute as dashboards",  # all that follows
        *FORBIDDEN,
        *PANELS,
    ]
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("run_statements.py")),
            str(configuration / "data"),
            str(configuration / "config.xml"),
        ],
        input=json.dumps(schema + asked),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert [one["error"] for one in found[: len(schema)] if "error" in one] == []
    return dict(zip(asked, found[len(schema) :], strict=True))


FORBIDDEN = [
    "drop table events_rows",
    "truncate table events_rows",
    "insert into experiments_rows (key) select 'x'",
    "create table mine (a Int8) engine = Memory",
    "select * from system.users",
    "select * from url('http://127.0.0.1:9/', 'CSV', 'a String')",
    "select * from file('/etc/passwd', 'LineAsString')",
    "grant select on *.* to dashboards",
]
# Only with the statement in the same breath does the engine take the user's profile, too; it then asks for no right to
# create, so the others are asked after a change of user.
BEYOND_LIMITS = [
    "execute as dashboards select 1 settings max_memory_usage = 0",
    "execute as dashboards select 1 settings max_execution_time = 100000",
    "execute as dashboards select number from numbers(200000)",
]
PANELS = {as_grafana_would(query, "x", "y") for query in queries() if query.is_sql}


def test_the_two_users_have_hashed_passwords(answers):
    (statement,) = [statement for statement in answers if "system.users order" in statement]
    known = dict(answers[statement]["rows"])
    assert known["neonblue"] == known["dashboards"] == ["sha256_password"]


def test_dashboards_have_one_grant_and_a_quota(answers):
    assert answers["show grants for dashboards"]["rows"] == [[f"GRANT SELECT ON {DATABASE}.* TO dashboards"]]
    (statement,) = [statement for statement in answers if "quota_limits" in statement]
    assert ["dashboards", 600, 2000000000] in answers[statement]["rows"]


def _code(answer: dict) -> str:
    return re.search(r"\(([A-Z_]+)\)\s*$", answer["error"])[1]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_dashboards_have_no_right_to(answers, statement):
    assert _code(answers[statement]) == "ACCESS_DENIED"
    assert "dashboards: Not enough privileges" in answers[statement]["error"]


@pytest.mark.parametrize("statement", BEYOND_LIMITS)
def test_dashboards_stay_within_their_limits(answers, statement):
    assert _code(answers[statement]) in ("READONLY", "SETTING_CONSTRAINT_VIOLATION", "TOO_MANY_ROWS_OR_BYTES")


@pytest.mark.parametrize("panel", sorted(PANELS))
def test_dashboards_can_read_what_a_panel_asks_for(answers, panel):
    assert "rows" in answers[panel], answers[panel]
