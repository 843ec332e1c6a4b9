"""The export of a person of whom there is more than a page in every store."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from uuid import uuid4

from neonblue_api import export
from tests.end_to_end.journey import Platform
from tests.fix_stack import Stack


def test_every_row_of_a_person_with_many_events_is_exported_once(
    stack: Stack, platform: Platform, tmp_path: Path
) -> None:
    user, number = f"busy-{uuid4()}", 2 * export._PAGE + 1
    # So long that no two share a message. A page ends among events of one time, too.
    note = "\u2028" * 3000
    events = [
        {"id": str(uuid4()), "user_id": user, "event_type": "click", "properties": {"note": note},
         "timestamp": f"2026-01-{1 + n % 3:02}T10:00:00Z"}
        for n in range(number)
    ]  # fmt: skip
    platform.post("/v1/events/batch", {"events": events})
    platform.await_events([event["id"] for event in events])
    to = tmp_path / "all.ndjson"
    told = stack.run("privacy", "export", user, "--to", str(to)).stderr
    *lines, end = [json.loads(line) for line in to.read_text().split("\n")[:-1]]
    assert end == {"rows": len(lines)}
    assert f"{len(lines):,} rows" in told
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        row = line["row"]
        found[line["store"]][row.get("event_id") or row.get("id") or row.get("aggregate_id", "")] += 1
    for store in ("postgresql events", "clickhouse events_processed", "clickhouse landing"):
        assert found[store] == dict.fromkeys((event["id"] for event in events), 1), store
