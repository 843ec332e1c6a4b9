"""The pinned list of jars, and how a jar that is not the pinned one is noticed."""

import hashlib
from pathlib import Path

from neonblue_local.jars import lock


def test_the_list_pins_each_jar_once_and_holds_what_the_stack_runs() -> None:
    jars = lock.pinned()
    assert len({(jar.group, jar.artifact) for jar in jars}) == len(jars)
    assert len({jar.filename for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)
    versions = {jar.artifact: jar.version for jar in jars}
    assert versions["kafka_2.13"] == versions["connect-runtime"] == versions["connect-json"] == "4.3.1"
    assert versions["debezium-connector-postgres"] == "3.7.0.Final"


def test_an_absent_a_cut_and_a_changed_jar_are_noticed(tmp_path: Path) -> None:
    jars = [_jar(name, b"content of " + name.encode()) for name in ("whole", "absent", "cut", "changed")]
    whole, absent, cut, changed = jars
    for jar in (whole, cut, changed):
        (tmp_path / jar.filename).write_bytes(b"content of " + jar.artifact.encode())
    (tmp_path / cut.filename).write_bytes(b"content")
    (tmp_path / changed.filename).write_bytes(b"CONTENT of changed")
    # Every start looks at sizes; setup and doctor read every byte.
    assert lock.missing(tmp_path, jars) == [absent, cut]
    assert lock.damaged(tmp_path, jars) == [absent, cut, changed]


def _jar(name: str, content: bytes) -> lock.Jar:
    return lock.Jar("org.example", name, "1.0", len(content), hashlib.sha256(content).hexdigest())
