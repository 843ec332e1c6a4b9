"""Backups of a stack that runs, and their restores: the same results, every hop proven; refused, full, cut short."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.end_to_end.journey import Platform
from tests.fix_stack import NEONBLUE, SETTINGS_OF_A_STACK, Stack

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


@pytest.mark.nightly
def test_a_restore_that_was_killed_is_told_by_everybody_until_it_is_repeated_and_who_was_erased_stays_erased(
    empty_stack: Stack, tmp_path: Path
) -> None:
    stack, folder = empty_stack, str(tmp_path / "one")
    stack.up()
    platform = Platform(stack.settings)
    key = f"kept-{uuid4().hex[:12]}"
    platform.create_experiment(key, metrics=[("click", "proportion")])
    users = [f"{key}-{n}" for n in range(40)]
    for user in users:
        platform.post(f"/v1/experiments/{key}/assignments", {"user_id": user})
    events = [{"id": str(uuid4()), "user_id": user, "event_type": "click"} for user in users]
    platform.post("/v1/events/batch", {"events": events})
    platform.await_events([event["id"] for event in events])
    stack.run("backup", folder)
    stack.run("privacy", "erase", users[0], "--wait")

    # In a shell that has run eval "$(neonblue env)": it is the embedded stack all the same.
    killed_after(stack, "ClickHouse: assignments_rows:", "restore", "--overwrite", folder)
    way_out = f"repeat `neonblue restore --overwrite {folder}`"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{stack.api_url}/healthz")
    refused = stack.up(check=False)
    assert refused.returncode == 1
    assert way_out in refused.stderr
    stack.up("api", check=False)
    for path, body in (("/v1/events", events[1]), (f"/v1/experiments/{key}/assignments", {"user_id": "late"})):
        late = platform.api.post(path, json=body)
        assert (late.status_code, late.json()["code"]) == (503, "database_unavailable")
    for command in (["status"], ["doctor"], ["doctor", "--servers"], ["backup", str(tmp_path / "two")], ["recover"]):
        told = stack.run(*command, check=False, **stack.settings)
        assert told.returncode == 1
        assert "a restore is not over" in told.stdout or way_out in told.stdout + told.stderr, command

    stack.run("restore", "--overwrite", folder)
    restored = Platform(stack.settings)
    count = "select count(*) from events where user_id = %s"
    assert [restored.postgres(count, (user,)) for user in users[:2]] == [[(0,)], [(1,)]]
    ids = restored.clickhouse("select distinct user_id from events_rows where startsWith(user_id, {k:String})", k=key)
    assert {user for (user,) in ids} == {*users[1:]}
    late = restored.api.post("/v1/events", json={"user_id": users[0], "event_type": "click"})
    assert late.json()["code"] == "user_erased"
    restored.post("/v1/events", {"user_id": users[1], "event_type": "click"})
    proof = stack.run("verify", check=False)
    assert proof.returncode == 0, proof.stdout


def killed_after(stack: Stack, line: str, *arguments: str) -> None:
    """Runs a command of `neonblue` with all settings of the stack in the environment, and kills it at this line."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(SETTINGS_OF_A_STACK)}
    with subprocess.Popen(
        [str(NEONBLUE), *arguments], env={**clean, **stack.settings}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = []
        for told in process.stderr:
            said.append(told)
            if told.startswith(line):
                process.kill()
                break
        else:
            pytest.fail(f"it ended with {process.wait()}: {''.join(said)}")


def test_a_folder_that_is_no_whole_backup_is_refused(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("backups") / "damaged"
    mask = os.umask(0o022)
    try:
        stack.run("backup", str(folder))
    finally:
        os.umask(mask)
    assert {oct(path.stat().st_mode & 0o777) for path in folder.rglob("*") if path.is_file()} == {"0o600"}
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
    stack.run("backup", str(folder / "later"))
    manifest = folder / "later" / "manifest.json"
    changed = json.loads(manifest.read_text())
    [table] = [table for table in changed["tables"] if table["table"] == "events_rows"]
    table["columns"].append("later")
    manifest.write_text(json.dumps(changed))
    for refused, told in [
        (stack.run("restore", str(folder / "one"), check=False), "--overwrite"),
        (stack.run("restore", str(folder / "two"), check=False), "no whole backup"),
        (
            stack.run("restore", str(folder / "later"), "--overwrite", check=False),
            "clickhouse/events_rows.tsv.zst has columns that events_rows lacks here: later",
        ),
        (
            stack.run("restore", str(folder / "one"), "--overwrite", "--erasures", str(ledger), check=False),
            "another NEONBLUE_PRIVACY_KEY",
        ),
    ]:
        assert refused.returncode == 1
        assert told in refused.stderr
    assert started() == before
    assert httpx.get(f"{stack.settings['NEONBLUE_API_URL']}/readyz").status_code == 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that a backup does not fit into."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(tmp_path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this machine mounts no small file system: {mounted.stderr.strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_backup_that_does_not_fit_names_the_folder_whose_disk_is_full(stack: Stack, small_disk: Path) -> None:
    refused = stack.run("backup", str(small_disk / "one"), check=False)
    assert refused.returncode == 1
    assert f"the disk of {small_disk / 'one'} is full; delete the folder" in refused.stderr
