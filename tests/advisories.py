"""What a copy of the Python advisory database knows of the packages of requirements.lock: for machines without network.

    git clone https://github.com/pypa/advisory-database
    .venv/bin/python -m tests.advisories advisory-database

writes docs/dependencies.md; exit code 1 if a pinned version has a known hole. With network `make audit-dependencies`
asks the vulnerability service of the package index instead, which is up to date.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "dependencies.md"


def pinned() -> list[tuple[str, str]]:
    """Name, as the database writes it, and version of every package of the lock."""
    found = re.findall(
        r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", (PROJECT / "requirements.lock").read_text(), re.M
    )
    return [(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in found]


def advisories(database: Path, name: str) -> Iterator[dict[str, Any]]:
    """Those of one package that were not withdrawn."""
    for path in sorted((database / "vulns" / name).glob("*.yaml")):
        told = yaml.safe_load(path.read_text())
        if not told.get("withdrawn"):
            yield told


def concerns(advisory: dict[str, Any], name: str, version: str) -> bool:
    """Whether it names this version, or a range that holds it."""
    wanted = Version(version)
    for affected in advisory.get("affected", ()):
        if re.sub(r"[-_.]+", "-", affected["package"]["name"]).lower() != name:
            continue
        if version in affected.get("versions", ()):
            return True
        for span in affected.get("ranges", ()):
            if span["type"] == "ECOSYSTEM" and _within(wanted, span["events"]):
                return True
    return False


def _within(wanted: Version, events: list[dict[str, str]]) -> bool:
    inside = False
    for event in events:
        try:
            if "introduced" in event and wanted >= Version(event["introduced"]):
                inside = True
            if "fixed" in event and wanted >= Version(event["fixed"]):
                inside = False
            if "last_affected" in event and wanted > Version(event["last_affected"]):
                inside = False
        except InvalidVersion:
            return True  # cannot be compared: a person looks at it
    return inside


def main(database: Path) -> int:
    git = ["git", "-C", str(database), "log", "-1", "--format=%H %cs"]
    commit, day = subprocess.run(git, capture_output=True, text=True, check=True).stdout.split()
    pins = pinned()
    known = read = 0
    findings = []
    for name, version in pins:
        told = list(advisories(database, name))
        known += bool(told)
        read += len(told)
        findings += [(name, version, advisory) for advisory in told if concerns(advisory, name, version)]
    lines = [
        "# Dependencies\n",
        "Made by `python -m tests.advisories` from a copy of the Python advisory database (PyPA). What was published",
        "after the copy's last change is not in it, and the jars are not looked at. `make audit-dependencies`, on a",
        "machine with network, asks the index: it fails on a finding, and on a package it could not ask about.\n",
        "| | |\n|---|---|",
        f"| made on | {datetime.now(UTC):%Y-%m-%d} |",
        f"| the copy's last change | {day} ({commit[:12]}) |",
        f"| packages in requirements.lock | {len(pins)} |",
        f"| of these the database has advisories on | {known}, {read} advisories |",
        f"| pinned versions with a known hole | {len(findings)} |\n",
    ]
    if findings:
        lines += ["| package | version | advisory | what |\n|---|---|---|---|"]
        for name, version, told in findings:
            first = " ".join(str(told.get("summary") or told["details"]).split())[:200].replace("|", "/")
            lines.append(f"| {name} | {version} | {told['id']} | {first} |")
    PAGE.write_text("\n".join(lines).rstrip() + "\n")
    print(PAGE.read_text())
    return 1 if findings else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python -m tests.advisories FOLDER, a clone of the advisory database; found {sys.argv[1:]}")
    sys.exit(main(Path(sys.argv[1])))
