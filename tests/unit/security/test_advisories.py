"""The offline audit of dependencies finds what it is there to find."""

from pathlib import Path

import pytest

from tests import advisories

KNOWN = """
id: PYSEC-2018-28
details: sends the Authorization header to another host
affected:
- package: {name: Requests, ecosystem: PyPI}
  ranges:
  - type: ECOSYSTEM
    events: [{introduced: "0"}, {fixed: "2.19.2"}, {introduced: "2.20"}, {last_affected: "2.20.5"}]
  versions: ["3.0b1"]
"""


@pytest.mark.parametrize(
    ("version", "found"),
    [("2.19.1", True), ("2.19.2", False), ("2.20.5", True), ("2.20.6", False), ("3.0b1", True), ("2.34.0", False)],
)
def test_a_version_that_an_advisory_names_is_found(tmp_path: Path, version: str, found: bool) -> None:
    folder = tmp_path / "vulns" / "requests"
    folder.mkdir(parents=True)
    (folder / "PYSEC-2018-28.yaml").write_text(KNOWN)
    (folder / "PYSEC-2018-29.yaml").write_text(KNOWN + "withdrawn: 2019-01-01T00:00:00Z\n")
    (advisory,) = advisories.advisories(tmp_path, "requests")
    assert advisories.concerns(advisory, "requests", version) is found


def test_every_package_of_the_lock_is_read_with_its_version() -> None:
    pins = advisories.pinned()
    lock = (advisories.PROJECT / "requirements.lock").read_text().splitlines()
    assert len(pins) == len([line for line in lock if line and not line.startswith((" ", "#"))])
    assert {"fastapi", "uvicorn", "psycopg-binary"} <= {name for name, _ in pins}
