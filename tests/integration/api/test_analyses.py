"""The reading routes over rollups in a real ClickHouse. The rows are in years that no other test's rollup touches."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import clickhouse_connect
import pytest

from neonblue_api.analytics import Analytics
from neonblue_api.errors import AnalyticsUnavailable
from neonblue_api.settings import Settings
from neonblue_pipeline.sqlfiles import sql_files
from tests.integration.api.fix_api import TOKEN

DATABASE = "experiments_analytics"
_NOT_WITHOUT_KAFKA = ("110_", "190_")


@pytest.fixture(scope="module")
def clickhouse(storage_stack):
    connection = clickhouse_connect.get_client(dsn=storage_stack.clickhouse_url)
    connection.command(f"create database if not exists {DATABASE}")
    connection.database = DATABASE
    if not connection.command(f"exists table {DATABASE}.user_journeys"):
        for file in sql_files("clickhouse"):
            if not file.name.rpartition("/")[2].startswith(_NOT_WITHOUT_KAFKA):
                for statement in file.statements:
                    connection.command(statement)
    yield connection
    connection.close()


@pytest.fixture
def experiment(client, clickhouse, running, database):
    """Key, number, and the numbers of the variants a and b. What ClickHouse is told of it is gone afterwards."""
    number = database.execute("select experiment_id from experiments where key = %s", (running,)).fetchone()[0]
    rows = database.execute("select key, variant_id from variants where experiment_id = %s", (number,)).fetchall()
    yield running, number, dict(rows)
    for table in ("experiments_rows", "assignments_rows", "user_journeys", "experiment_summary", "hourly_metrics"):
        _delete(clickhouse, table, f"experiment_id = {number}")
    _delete(clickhouse, "daily_metrics", f"experiment_id = {number}")
    _delete(clickhouse, "events_rows", f"user_id = '{running}-u'")


def _delete(clickhouse, table, condition):
    clickhouse.command(f"alter table {table} delete where {condition} settings mutations_sync = 1")


def _insert(clickhouse, table, row):
    clickhouse.insert(table, [list(row.values())], column_names=list(row))


def _journey(number, variants, variant, user, day, steps):
    at = [datetime(2199, 1, day, hour, tzinfo=UTC) for hour, _ in steps]
    kinds = [kind for _, kind in steps]
    taken = [
        (moment, kind, "/p" if kind == "click" else "", 2.5 if kind == "conversion" else None)
        for moment, kind in zip(at, kinds, strict=True)
    ]
    counts = [len(steps), kinds.count("exposure"), kinds.count("click"), kinds.count("conversion")]
    return [
        date(2199, 1, day),
        number,
        variants[variant],
        variant,
        user,
        *counts,
        2.5 * counts[3],
        at[0],
        at[-1],
        at[-1],
        taken,
    ]


def test_journeys_are_read_in_order_and_page_by_page(client, clickhouse, experiment):
    key, number, variants = experiment
    rows = [
        _journey(number, variants, "a", "u1", 1, [(1, "exposure"), (2, "click"), (3, "conversion")]),
        _journey(number, variants, "a", "u1", 2, [(1, "click")]),
        _journey(number, variants, "b", "u2 ü", 1, [(5, "exposure")]),
    ]
    clickhouse.insert("user_journeys", rows)
    path = f"/v1/experiments/{key}/journeys"
    first = client.get(path, params={"limit": 2}).json()
    rest = client.get(path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    found = first["items"] + rest["items"]
    assert [(item["user_id"], item["day"]) for item in found] == [
        ("u1", "2199-01-01"),
        ("u1", "2199-01-02"),
        ("u2 ü", "2199-01-01"),
    ]
    assert rest["next_cursor"] is None
    # A page may end between two days of a user.
    singly, place = [], {}
    while place is not None:
        page = client.get(path, params={"limit": 1} | place).json()
        singly += page["items"]
        place = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert singly == found
    steps = found[0]["steps"]
    assert [step["event_type"] for step in steps] == ["exposure", "click", "conversion"]
    assert steps[1] == {"timestamp": "2199-01-01T02:00:00.000000Z", "event_type": "click", "page": "/p", "value": None}
    assert (found[0]["value"], steps[2]["value"]) == (2.5, 2.5)
    assert len(client.get(path, params={"user_id": "u2 ü"}).json()["items"]) == 1
    assert len(client.get(path, params={"variant": "a"}).json()["items"]) == 2


def test_a_funnel_counts_users_who_took_the_steps_in_order(client, clickhouse, experiment):
    key, number, variants = experiment
    rows = [
        _journey(number, variants, "a", "u1", 1, [(1, "exposure"), (2, "other"), (3, "click")]),
        _journey(number, variants, "a", "u1", 2, [(1, "conversion")]),
        _journey(number, variants, "a", "u2", 1, [(1, "click"), (2, "exposure"), (3, "conversion")]),
        _journey(number, variants, "b", "u3", 1, [(1, "exposure")]),
    ]
    clickhouse.insert("user_journeys", rows)
    summary = [[number, variants["a"], "a", True, 4, 2, 2, 1, 7, 2, 2, 2, 5.0, None, None]]
    clickhouse.insert("experiment_summary", summary)
    path = f"/v1/experiments/{key}/funnel"
    body = client.get(path, params={"steps": "exposure,click,conversion"}).json()
    a, b = body["variants"]
    assert [step["users"] for step in a["steps"]] == [2, 1, 1]
    assert [step["rate"] for step in a["steps"]] == [0.5, 0.25, 0.25]
    assert [step["rate_of_previous"] for step in a["steps"]] == [0.5, 0.5, 1.0]
    assert [step["users"] for step in b["steps"]] == [1, 0, 0]
    assert (
        client.get(path, params=[("steps", "exposure"), ("steps", "click")]).json()["variants"][0]["steps"][1]["users"]
        == 1
    )
    for wrong in ("", "a,,b", ",".join(["x"] * 21)):
        assert client.get(path, params={"steps": wrong}).status_code == 422
    shown = client.get(f"/v1/experiments/{key}/summary").json()["variants"][0]
    assert (shown["users"], shown["unique_users"], shown["conversion_rate"], shown["value"]) == (4, 2, 0.25, 5.0)


def test_a_time_series_is_read_by_hour_or_day_and_within_a_time(client, clickhouse, experiment):
    key, number, variants = experiment
    hours = [datetime(2198, 1, 1, hour, tzinfo=UTC) for hour in (0, 5)]
    clickhouse.insert("hourly_metrics", [[number, variants["a"], "a", hour, "click", 3, 2, 0.0] for hour in hours])
    days = [date(2198, 1, day) for day in (1, 2)]
    clickhouse.insert("daily_metrics", [[number, variants["b"], "b", day, "buy", 3, 2, float("inf")] for day in days])
    path = f"/v1/experiments/{key}/timeseries"
    by_hour = client.get(path, params={"grain": "hour"}).json()
    assert [point["at"] for point in by_hour["points"]] == [
        "2198-01-01T00:00:00.000000Z",
        "2198-01-01T05:00:00.000000Z",
    ]
    assert by_hour["truncated"] is False
    by_day = client.get(path).json()["points"]
    assert [(point["at"][:10], point["value"]) for point in by_day] == [("2198-01-01", None), ("2198-01-02", None)]
    within = {"from_time": "2198-01-02T00:00:00Z", "to_time": "2198-01-03T00:00:00Z", "event_type": "buy"}
    assert len(client.get(path, params=within).json()["points"]) == 1
    assert client.get(path, params={"event_type": "none"}).json()["points"] == []
    assert client.get(path, params={"grain": "year"}).status_code == 422
    assert client.get(path, params={"from_time": "yesterday"}).status_code == 422


def test_properties_are_counted_for_the_events_that_count(client, clickhouse, experiment):
    key, number, variants = experiment
    at = datetime(2026, 6, 1, tzinfo=UTC)
    definition = {"experiment_id": number, "key": key, "status": "running", "revision": 5, "started_at": at}
    _insert(clickhouse, "experiments_rows", definition)
    user = {"experiment_id": number, "user_id": f"{key}-u", "variant_id": variants["a"], "variant_key": "a"}
    _insert(clickhouse, "assignments_rows", user | {"experiment_key": key, "assigned_at": at, "created_at": at})
    told = [(1, '{"plan": "pro", "n": 7}', "phone"), (2, '{"plan": "pro"}', None), (3, "{}", None)]
    long = ["18446744073709551616", "-123456789012345678901234567890", "12345678901234567890.12", f"1{'0' * 308}"]
    told += [(minute, f'{{"long": {number}, "text": "17"}}', None) for minute, number in enumerate(long, 4)]
    told += [(8, f'{{"nested": {{"a": [{long[0]}, "x {long[0]}"]}}}}', None)]
    before = (-60, '{"plan": "pro"}', None)
    for minute, properties, device in (*told, before):
        event = {
            "id": str(uuid4()),
            "user_id": f"{key}-u",
            "event_type": "conversion",
            "timestamp": at + timedelta(minutes=minute),
            "properties": properties,
            "created_at": at,
            "device": device,
            "value": 2.0,
        }
        _insert(clickhouse, "events_rows", event)
    path = f"/v1/experiments/{key}/properties"

    def counted(name: str) -> dict:
        cells = client.get(path, params={"property": name}).json()["cells"]
        return {cell["property_value"]: (cell["events"], cell["users"], cell["conversions"]) for cell in cells}

    assert counted("plan") == {"pro": (2, 1, 2), None: (6, 1, 6)}
    assert counted("n") == {"7": (1, 1, 1), None: (7, 1, 7)}
    assert counted("device") == {"phone": (1, 1, 1), None: (7, 1, 7)}
    assert counted("long") == dict.fromkeys(long, (1, 1, 1)) | {None: (4, 1, 4)}
    assert counted("text") == {"17": (4, 1, 4), None: (4, 1, 4)}
    assert counted("nested").keys() == {f'{{"a":[{long[0]},"x {long[0]}"]}}', None}
    assert client.get(path).status_code == 422


def test_results_come_from_the_latest_cut_off(client, clickhouse, running, name, database):
    client.post("/v1/metrics", json={"key": f"{name}-m", "kind": "proportion", "event_type": "x"})
    body = {"key": f"{name}-r", "variants": [{"key": "a"}, {"key": "b"}], "metrics": [f"{name}-m"]}
    client.post("/v1/experiments", json=body)
    before = client.get(f"/v1/experiments/{name}-r/results").json()
    assert before["as_of"] is None
    assert before["metrics"][0]["variants"][1]["absolute"]["estimate"] is None
    number = database.execute("select experiment_id from experiments where key = %s", (f"{name}-r",)).fetchone()[0]
    for day, mean in ((1, 0.1), (2, 0.2)):
        cutoff = datetime(2026, 6, day, tzinfo=UTC)
        quality = {"experiment_id": number, "cutoff_at": cutoff, "counts": {"a": 5, "b": 6}}
        split = {"sample_ratio_p_value": 0.5, "sample_ratio_mismatch": False, "warnings": ["w"]}
        _insert(clickhouse, "experiment_quality_rows", quality | split)
        fixed = [number, cutoff, f"{name}-m", 0, "proportion", "increase", "target"]
        effect = [0.1, -0.1, 0.3, 0.04] * 2
        columns = [
            "experiment_id",
            "cutoff_at",
            "metric",
            "position",
            "kind",
            "direction",
            "role",
            "variant_id",
            "variant",
        ]
        columns += ["is_control", "users", "sum", "mean", "abs_estimate", "abs_low", "abs_high", "abs_p_value"]
        columns += ["rel_estimate", "rel_low", "rel_high", "rel_p_value"]
        rows = [[*fixed, 1, "a", True, 5, 1.0, mean, *[None] * 8], [*fixed, 2, "b", False, 6, 2.0, mean, *effect]]
        clickhouse.insert("experiment_results_rows", rows, column_names=columns)
    after = client.get(f"/v1/experiments/{name}-r/results").json()
    assert after["as_of"] == "2026-06-02T00:00:00.000000Z"
    assert after["sample_ratio"].items() >= {"counts": {"a": 5, "b": 6}, "p_value": 0.5, "mismatch": False}.items()
    control, treated = after["metrics"][0]["variants"]
    assert (control["mean"], treated["users"], treated["relative"]["p_value"]) == (0.2, 6, 0.04)


def test_a_reader_is_told_when_clickhouse_has_no_memory_for_it(clickhouse, storage_stack, postgres_url):
    url = storage_stack.clickhouse_url
    analytics = Analytics(Settings(postgres_url=postgres_url, clickhouse_url=url, api_token=TOKEN))
    for setting, most in (("max_memory_usage", 1), ("max_untracked_memory", 0)):
        analytics._connected().set_client_setting(setting, most)
    with pytest.raises(AnalyticsUnavailable, match="no memory left for experiment_summary") as told:
        asyncio.run(analytics.read("experiment_summary", experiment_id=1))
    assert told.value.headers["Retry-After"] == "5"
