"""A backup of a stack that runs, restored into an empty one: the same results, and every hop proven."""

import json
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.end_to_end.journey import Platform
from tests.fix_stack import Stack

pytestmark = pytest.mark.timeout(900)


@pytest.mark.nightly
def test_a_backup_restored_into_an_empty_stack_gives_equal_results_and_every_hop_is_proven(
    platform: Platform, stack: Stack, empty_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key = f"kept-{uuid4().hex[:12]}"
    platform.create_experiment(key, metrics=[("purchase", "mean"), ("click", "proportion")])
    users = [f"{key}-{n}" for n in range(40)]
    for user in users:
        platform.post(f"/v1/experiments/{key}/assignments", {"user_id": user})
    events = [
        {"id": str(uuid4()), "user_id": user, "event_type": ("click", "purchase")[n % 2],
         "properties": {"value": n * 1.25, "odd": "tab\t, line\n, \\N, é\u2028 and \U0001f600", "big": 2**53 + 1}}
        for n, user in enumerate(users)
    ]  # fmt: skip
    platform.post("/v1/events/batch", {"events": events})
    platform.await_events([event["id"] for event in events])
    platform.refresh()
    expected = json.loads(stack.run("results", key, "--json").stdout)
    folder = tmp_path_factory.mktemp("backups") / "one"
    made = json.loads(stack.run("backup", str(folder), "--json").stdout)
    assert made["clickhouse_rows"] > len(events)

    # The key of then, by which people who were erased are known, is there before the first start.
    empty_stack.run("restore", str(folder), NEONBLUE_PRIVACY_KEY=stack.settings["NEONBLUE_PRIVACY_KEY"])
    assert json.loads(empty_stack.run("results", key, "--json").stdout) == expected
    restored = Platform(empty_stack.settings)
    query = "select toString(id), properties from events_processed where startsWith(user_id, {key:String}) order by id"
    assert restored.clickhouse(query, key=key) == platform.clickhouse(query, key=key)
    # The rollups and results made from the restored rows, not only restored with them.
    restored.refresh()
    again = json.loads(empty_stack.run("results", key, "--json").stdout)
    assert {name: value for name, value in again.items() if name != "as_of"} == {
        name: value for name, value in expected.items() if name != "as_of"
    }
    report = empty_stack.run("verify", "--json", check=False)
    assert report.returncode == 0, report.stdout
    # So is the audit log, which tells of the backup and of the restore, and can be altered here as little as there.
    assert json.loads(empty_stack.run("audit", "verify", "--json").stdout)["ok"]
    told = json.loads(empty_stack.run("audit", "list", "--type", "backup", "--json").stdout)
    assert [entry["action"] for entry in told][:2] == ["restore", "export"]
    with psycopg.connect(empty_stack.postgres_url) as postgres, pytest.raises(psycopg.errors.InsufficientPrivilege):
        postgres.execute("delete from audit_log")
    # The stream goes on from there, an id of before the backup is known, and nothing can be restored over it by chance.
    repeat = restored.post("/v1/events/batch", {"events": events[:2]})
    assert (repeat["accepted"], repeat["duplicates"]) == (0, 2)
    later = {"id": str(uuid4()), "user_id": users[0], "event_type": "click"}
    restored.post("/v1/events", later)
    restored.await_events([later["id"]])
    refused = empty_stack.run("restore", str(folder), check=False)
    assert refused.returncode == 1
    assert "--overwrite" in refused.stderr


def test_a_folder_that_is_no_whole_backup_is_refused(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("backups") / "damaged"
    stack.run("backup", str(folder))
    from neonblue_pipeline import backup
    from neonblue_pipeline.errors import BackupError

    assert backup.read(folder).bytes > 0
    with (folder / "clickhouse" / "events_rows.tsv.zst").open("ab") as file:
        file.write(b"more")
    with pytest.raises(BackupError, match=r"events_rows\.tsv\.zst is missing or not as it was written"):
        backup.read(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(BackupError, match="no whole backup"):
        backup.read(folder)
    second = stack.run("backup", str(folder), check=False)
    assert second.returncode == 1
    assert "is not empty" in second.stderr


def test_a_restore_that_is_refused_leaves_the_stack_as_it_runs(
    platform: Platform, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def started() -> object:
        with psycopg.connect(stack.postgres_url) as postgres:
            return postgres.execute("select pg_postmaster_start_time()").fetchone()

    platform.post("/v1/events", {"id": str(uuid4()), "user_id": f"kept-{uuid4()}", "event_type": "click"})
    before = started()
    folder = tmp_path_factory.mktemp("backups")
    stack.run("backup", str(folder / "one"))
    ledger = folder / "erasures.ndjson"
    entry = {"subject": "00" * 32, "key_name": "0" * 16, "requested_at": "2026-01-01T00:00:00Z", "requested_by": "test"}
    ledger.write_text(json.dumps(entry | {"request_id": None, "finished_at": "2026-01-01T00:10:00Z"}))
    for refused, told in [
        (stack.run("restore", str(folder / "one"), check=False), "--overwrite"),
        (stack.run("restore", str(folder / "two"), check=False), "no whole backup"),
        (
            stack.run("restore", str(folder / "one"), "--overwrite", "--erasures", str(ledger), check=False),
            "another NEONBLUE_PRIVACY_KEY",
        ),
    ]:
        assert refused.returncode == 1
        assert told in refused.stderr
    assert started() == before
    assert httpx.get(f"{stack.settings['NEONBLUE_API_URL']}/readyz").status_code == 200
