"""docs/statistics.md says what the code does."""

import contextlib
import io
import re
from pathlib import Path

import neonblue_stats
from neonblue_stats.analysis.request import KINDS
from neonblue_stats.group_sequential import SPENDINGS
from neonblue_stats.multiplicity import METHODS

PAGE = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text()


def test_the_example_prints_what_the_page_shows():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    shown = re.search(r"^# (.*)$", code, re.M)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "docs/statistics.md", "exec"), {})
    assert shown is not None
    assert printed.getvalue().strip() == shown.group(1)


def test_every_kind_method_and_function_of_the_page_exists_and_none_is_left_out():
    for name in [*KINDS, *METHODS, *SPENDINGS]:
        assert f"`{name}`" in PAGE, name
    table = PAGE.split("## Which method when")[1].split("##")[0]
    functions = re.findall(r"`(\w+)`", table)
    assert len(functions) > 8
    for name in functions:
        assert hasattr(neonblue_stats, name), name


def test_a_data_scientist_can_read_the_page_in_ten_minutes():
    # The rules of tables, numbers and signs are no words.
    assert sum(any(letter.isalpha() for letter in word) for word in PAGE.split()) < 2200
