"""No SQL of the sources is put together from values: what is filled into a statement is a constant, or listed here."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[3]
PACKAGES = ("neonblue_api", "neonblue_pipeline", "neonblue_local", "neonblue_stats")
SQL = re.compile(
    r"\b(select\s.*\bfrom\b|select\s+\w+\(|insert\s+into\b|update\s+\w+\s+set\b|delete\s+from\b|truncate\s+(table\s)?\w"
    r"|(create|alter|drop|grant|revoke|optimize|rename|exchange|attach|detach|system)\s+"
    r"(or\s+replace\s+)?(table|view|database|role|function|index|publication|if|reload|flush)\b)",
    re.IGNORECASE | re.DOTALL,
)
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")

# File and expression → why no value of a client can come through it.
REVIEWED: dict[tuple[str, str], str] = {
    ("neonblue_pipeline/alarms.py", "over"): "a text of this function, with placeholders",
    ("neonblue_pipeline/assets/upkeep.py", "table"): "one of _CUTOFFS",
    ("neonblue_pipeline/assets/upkeep.py", "kept"): "a file of sql/read",
    ("neonblue_pipeline/backup.py", "names"): "columns as ClickHouse tells them, in backticks",
    ("neonblue_pipeline/backup.py", "table"): "a table as ClickHouse tells it",
    ("neonblue_pipeline/erasing/analytics.py", "condition"): "a value of NAMED_IN, with a placeholder",
    ("neonblue_pipeline/erasing/analytics.py", "table"): "one of NAMED_IN, or a rollup",
    ("neonblue_pipeline/erasing/analytics.py", "told"): "an error message",
    ("neonblue_pipeline/erasing/steps.py", "function"): "one of the names that this class calls it with",
    ("neonblue_pipeline/holdings.py", "table"): "events or outbox_log",
    ("neonblue_pipeline/holdings.py", "oldest"): "a text of this function",
    ("neonblue_pipeline/holdings.py", "tables[0]"): "a text of this function",
    ("neonblue_pipeline/kept.py", "day.name"): "a partition as PostgreSQL tells it",
    ("neonblue_pipeline/ledger.py", "file.name"): "an error message",
    ("neonblue_pipeline/ledger.py", "file.checksum[:12]"): "an error message",
    ("neonblue_pipeline/ledger.py", "known[:12]"): "an error message",
    ("neonblue_pipeline/publication.py", "table"): "one of _STEPS or _BY_SEGMENT",
    ("neonblue_pipeline/publication.py", "step.needs"): "a text of _STEPS",
    ("neonblue_pipeline/replay.py", "again"): "a text of this function, with placeholders",
    ("neonblue_pipeline/replay.py", "position"): "a text of this function",
    ("neonblue_pipeline/replay.py", "which"): "a text of this function, with placeholders",
    ("neonblue_pipeline/replay.py", "table"): "_OUTBOX or a value of _FACTS",
    ("neonblue_pipeline/replay.py", "function"): "one of two names of this function",
    ("neonblue_pipeline/restore.py", "view"): "a view as ClickHouse tells it",
    ("neonblue_pipeline/restore.py", "name"): "a table as ClickHouse tells it",
    ("neonblue_pipeline/restore.py", "table"): "a table as ClickHouse tells it",
    ("neonblue_pipeline/restore.py", "names"): "columns as ClickHouse tells them, in backticks",
    ("neonblue_pipeline/restore.py", "declared"): "columns and types as ClickHouse tells them",
    ("neonblue_pipeline/restore.py", "read"): "columns as ClickHouse tells them, in backticks",
    ("neonblue_pipeline/retention_analytics.py", "closed"): "a text of this function, with placeholders",
    ("neonblue_pipeline/retention_analytics.py", "position"): "a text of this function",
    ("neonblue_pipeline/retention_analytics.py", "month['month']"): "a partition id as ClickHouse tells it: digits",
    ("neonblue_pipeline/retention.py", "day.table"): "events or outbox_log",
    ("neonblue_pipeline/retention.py", "day.name"): "a partition as PostgreSQL tells it",
    ("neonblue_pipeline/retention.py", "table"): "events or outbox_log",
    ("neonblue_pipeline/rollup.py", "', '.join(_DEFINITION)"): "constants",
    ("neonblue_pipeline/rollup.py", "name"): "one of _REBUILT",
    ("neonblue_pipeline/rollup.py", "', '.join(swaps)"): "dates and names of _REBUILT",
    ("neonblue_pipeline/rollup.py", "theirs"): "a text of its function",
    ("neonblue_pipeline/rollup.py", "table"): "one of two names of its function, one of _REBUILT, or what callers name",
    ("neonblue_pipeline/rollup.py", "done"): "numbers: partitions and offsets of Kafka",
    ("neonblue_local/clickhouse/engine.py", "names"): "written by literal()",
    ("neonblue_local/clickhouse/engine.py", "literal(mark)"): "written by literal()",
    ("neonblue_local/clickhouse/engine.py", "fd"): "a number",
    (
        "neonblue_local/clickhouse/engine.py",
        "format_name",
    ): "of a user who may send any statement",
    ("neonblue_local/clickhouse/execution.py", "identifier(table.name)"): "written by identifier()",
    (
        "neonblue_local/clickhouse/execution.py",
        "table.format",
    ): "of a user who may send any statement",
    ("neonblue_local/parts/postgres.py", "environment.OWNER"): "a constant",
    ("neonblue_local/parts/postgres.py", "owner_password"): "made by secrets.token_urlsafe: no quote is in it",
}


def _statements(tree: ast.AST) -> Iterator[tuple[int, str, list[ast.expr]]]:
    """Line, text and interpolated expressions of every text that is put together."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "x" for part in node.values]
            filled = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
            yield node.lineno, "".join(map(str, parts)), filled
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            for text, other in ((node.left, node.right), (node.right, node.left)):
                if (
                    isinstance(text, ast.Constant)
                    and isinstance(text.value, str)
                    and not isinstance(other, ast.Constant)
                ):
                    yield node.lineno, text.value, [other]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("format", "format_map", "replace", "substitute")
            and isinstance(node.func.value, ast.Constant)
            and isinstance(node.func.value.value, str)
        ):
            yield node.lineno, node.func.value.value, [*node.args, *(keyword.value for keyword in node.keywords)]


def _filled(name: str, source: str) -> Iterator[tuple[str, str, int]]:
    for line, text, expressions in _statements(ast.parse(source)):
        if SQL.search(text):
            for expression in expressions:
                if not (isinstance(expression, ast.Name) and CONSTANT.fullmatch(expression.id)):
                    yield name, ast.unparse(expression), line


def _sources() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        for path in sorted((PROJECT / package).rglob("*.py")):
            yield str(path.relative_to(PROJECT)), path.read_text()


def test_every_value_of_a_statement_is_bound() -> None:
    found = [place for name, source in _sources() for place in _filled(name, source)]
    unknown = [f"{name}:{line}: {expression}" for name, expression, line in found if (name, expression) not in REVIEWED]
    assert not unknown, "bind the value as a parameter, or list the expression here with the reason why it is safe"
    assert {(name, expression) for name, expression, _ in found} == REVIEWED.keys(), "what is gone is listed no more"


def test_what_is_looked_for_is_found() -> None:
    bad = '''
a = f"select * from users where name = '{name}'"
b = "delete from users where name = '%s'" % name
c = "select x from users where name = " + name
d = "insert into users values ('{}')".format(name)
e = f"drop table {name}"
f = f"""select {_COLUMNS} from users"""
g = f"from {name} to {other}"
'''
    assert sorted(line for _, _, line in _filled("x.py", bad)) == [2, 3, 4, 5, 6]
