"""The pinned jars: coordinates, size and sha256 of each, and whether those on disk are them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

LOCK = Path(__file__).with_name("jars.lock")


@dataclass(frozen=True)
class Jar:
    """One line of jars.lock: coordinates, size in bytes, sha256 in hex."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def pinned(lock: Path = LOCK) -> list[Jar]:
    """The jars of the lock file, in its order, which is the order on the class path."""
    jars = []
    for line in lock.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinates, size, digest = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, int(size), digest.removeprefix("sha256:")))
    return jars


def class_path(folder: Path) -> str:
    return ":".join(str(folder / jar.filename) for jar in pinned())


def missing(folder: Path, jars: list[Jar]) -> list[Jar]:
    """Jars that are not there or have another size. Cheap: every start asks."""
    return [jar for jar in jars if not (p := folder / jar.filename).is_file() or p.stat().st_size != jar.size]


def damaged(folder: Path, jars: list[Jar]) -> list[Jar]:
    """Jars that are not there or whose content is not the pinned one. Reads every byte: setup and doctor ask."""
    return [jar for jar in jars if not (p := folder / jar.filename).is_file() or sha256(p) != jar.sha256]


def sha256(path: Path) -> str:
    """Of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
