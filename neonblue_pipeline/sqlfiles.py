"""The SQL files on disk: where they are, what is in them, which may be applied again when they change. No database."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from neonblue_pipeline.errors import SchemaError

SQL = Path(__file__).resolve().parent.parent / "sql"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class SqlFile:
    """A file under sql/postgres or sql/clickhouse; `name` is relative to sql/ and is its key in the ledger."""

    name: str
    text: str

    @property
    def statements(self) -> list[str]:
        """The statements without their semicolons, in order. A statement ends with a semicolon at a line's end."""
        pieces = re.sub(r"\A(--[^\n]*\n)+", "", self.text).split(";\n")
        return [piece.strip().rstrip(";") for piece in pieces if re.sub(r"--[^\n]*", "", piece).strip()]

    @property
    def repeatable(self) -> bool:
        """Whether a changed file is simply applied again: it says so in its header, or it only replaces."""
        if re.search(r"^-- Apply:\s+again\b", self.text, re.MULTILINE):
            return True
        created = re.findall(r"^create\s+(or\s+replace\b)?", self.text, re.MULTILINE | re.IGNORECASE)
        return (
            bool(created) and all(created) and not re.search(r"^(alter|do)\b", self.text, re.MULTILINE | re.IGNORECASE)
        )

    def rendered(self, variables: dict[str, str]) -> "SqlFile":
        """The same file with ${name} filled in. PostgreSQL's files have no variables."""
        if not self.name.startswith("clickhouse/"):
            return self
        unknown = set(_VARIABLE.findall(self.text)) - variables.keys()
        if unknown:
            raise SchemaError(f"sql/{self.name}: ${{{min(unknown)}}} is not one of {', '.join(sorted(variables))}")
        return SqlFile(self.name, _VARIABLE.sub(lambda found: variables[found[1]], self.text))

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def sql_files(database: str) -> tuple[SqlFile, ...]:
    """The files of 'postgres' or 'clickhouse' in the order in which they are applied."""
    paths = sorted((SQL / database).glob("*.sql"))
    if not paths:
        raise SchemaError(f"{SQL / database} has no SQL files; install neonblue from its source tree")
    return tuple(SqlFile(f"{database}/{path.name}", path.read_text()) for path in paths)


@cache
def read_sql(name: str) -> str:
    """One statement by its path under sql/, such as read/dirty_days."""
    path = SQL / f"{name}.sql"
    if not path.is_file():
        raise SchemaError(f"{path} is missing; install neonblue from its source tree")
    return path.read_text().rstrip().rstrip(";")


def code_version(*files: SqlFile) -> str:
    """Changes when one of the files does."""
    return hashlib.sha256("".join(f.checksum for f in files).encode()).hexdigest()[:12]
