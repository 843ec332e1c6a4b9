"""What the exporter makes of what the probes saw, and who may read it. No database."""

import re
import threading
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from neonblue_pipeline import exporter, figures, probes
from neonblue_pipeline.probes import Finding, Seen
from neonblue_pipeline.settings import Settings

SLOT = next(probe for probe in probes.PROBES if probe.check == "slot_is_read")
TABLES = next(probe for probe in probes.PROBES if probe.check == "tables_are_there")


def page(seen):
    class Collected:
        def collect(self):
            return exporter.families(seen)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    return generate_latest(registry).decode()


def samples(seen):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page(seen))
        for sample in family.samples
    }


def test_what_a_probe_finds_is_1_and_what_it_does_not_find_0():
    found = samples([Seen(SLOT, [Finding("slot unread", "", "", "")], True)])
    assert found["neonblue_finding", "slot unread", "slot_is_read"] == 1
    assert found["neonblue_finding", "slot missing", "slot_is_read"] == 0
    assert found["neonblue_probe_answered", "PostgreSQL", "slot_is_read"] == 1


def test_a_probe_without_an_answer_says_neither_that_all_is_well_nor_that_it_is_not():
    found = samples([Seen(SLOT, [Finding("PostgreSQL silent", "", "", "")], False)])
    assert found["neonblue_probe_answered", "PostgreSQL", "slot_is_read"] == 0
    assert [key for key in found if key[0] == "neonblue_finding"] == []


def test_one_of_many_things_in_trouble_is_told_under_the_key_before_the_colon():
    splits = next(probe for probe in probes.PROBES if probe.check == "users_are_split_as_planned")
    found = samples([Seen(splits, [Finding("sample ratio: checkout", "", "", "")], True)])
    assert found["neonblue_finding", "sample ratio", "users_are_split_as_planned"] == 1


def test_the_backlog_is_what_the_outbox_gave_out_beyond_what_landed():
    outbox = Seen(SLOT, [], True, [figures.LAST_OUTBOX_ID.at(120)])
    landing = Seen(TABLES, [], True, [figures.LANDED_OUTBOX_ID.at(100)])
    assert samples([outbox, landing])["neonblue_outbox_backlog_rows",] == 20
    assert ("neonblue_outbox_backlog_rows",) not in samples([outbox])


def test_every_name_is_on_the_page_with_or_without_a_value():
    text = page([])
    assert {series.name for series in figures.ALL} <= set(re.findall(r"^# TYPE (\S+) gauge$", text, re.MULTILINE))


def test_names_follow_the_conventions_and_say_what_they_mean():
    units = (
        "_bytes",
        "_seconds",
        "_rows",
        "_messages",
        "_windows",
        "_facts",
        "_id",
        "_active",
        "_tasks",
        "_open",
        "_mismatches",
        "_value",
    )
    assert [series.name for series in figures.ALL if not series.name.endswith(units)] == []
    assert [series.name for series in figures.ALL if not series.what.endswith(".")] == []
    assert len({series.name for series in figures.ALL}) == len(figures.ALL)


@pytest.fixture
def server():
    nobody = "127.0.0.1:9"
    settings = Settings(
        postgres_url=f"postgresql://nobody:nothing@{nobody}/none",
        clickhouse_url=f"http://nobody:nothing@{nobody}",
        kafka_bootstrap=nobody,
        connect_url=f"http://{nobody}",
        api_url=f"http://{nobody}",
        metrics_token="a-token-of-this-test",
    )
    made = exporter.Server("127.0.0.1", 0, settings)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_address[1]}"
    made.shutdown()
    made.server_close()
    thread.join()


def read(url, token=None):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_figures_are_told_to_who_knows_the_token_only(server):
    assert read(f"{server}/metrics")[0] == 401
    assert read(f"{server}/metrics", "another")[0] == 401
    assert read(f"{server}/healthz")[0] == 200
    assert read(f"{server}/else")[0] == 404
