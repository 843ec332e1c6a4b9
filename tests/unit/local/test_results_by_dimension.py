"""What `neonblue results --by` and `--history` print."""

import io

from rich.console import Console

from neonblue_local.commands.segments import print_history, print_segments

EFFECT = {"estimate": 0.1, "low": 0.02, "high": 0.18, "p_value": 0.01}
NOTHING = dict.fromkeys(EFFECT)
SEGMENT = {
    "segment": "de", "control_users": 1000, "users": 1010, "control_mean": 2.0, "mean": 2.2, "absolute": EFFECT,
    "relative": EFFECT, "sequential": {"low": -0.01, "high": 0.21, "p_value": 0.2}, "adjusted_p_value": 0.03,
}  # fmt: skip
EMPTY = SEGMENT | {
    "segment": "", "control_users": None, "users": 3, "control_mean": None, "mean": None, "absolute": NOTHING,
    "relative": NOTHING, "sequential": NOTHING, "adjusted_p_value": None,
}  # fmt: skip
METRIC = {
    "metric": "revenue", "variant": "new", "segments": [SEGMENT, EMPTY], "interaction_p_value": 0.0004,
    "interaction_adjusted_p_value": 0.0008, "differs": True, "stratified_absolute": EFFECT,
    "stratified_relative": EFFECT, "stratified_variance_removed": 0.125,
}  # fmt: skip


def printed(show, found) -> list[str]:
    out = io.StringIO()
    show(Console(file=out, width=200), found)
    return out.getvalue().splitlines()


def test_each_segment_has_its_line_and_what_is_undefined_is_a_dash():
    dimension = {"dimension": "country", "known_before": True, "sample_ratio": [], "metrics": [METRIC]}
    found = {"experiment": "x", "as_of": "2026-01-01", "dimensions": [dimension], "warnings": ["the lift [de] differs"]}
    lines = printed(print_segments, found)
    (of_de,) = [line for line in lines if line.startswith("de ")]
    for figure in ("revenue", "new", "2,010", "+10.00%", "[+2.00%, +18.00%]", "[-1.00%, +21.00%]", "0.0100", "0.0300"):
        assert figure in of_de
    (unknown,) = [line for line in lines if line.startswith("(not known)")]
    assert unknown.split()[4:] == ["3"] + ["-"] * 7
    assert any(line.startswith("all, stratified") and "12.5% variance removed" in line for line in lines)
    assert "revenue, new: lifts differ by country (p 0.0004, adjusted 0.0008)" in lines
    assert lines[-1] == "warning: the lift [de] differs"


def test_history_has_a_line_a_cut_off_and_says_where_there_are_older_ones():
    point = {
        "as_of": "2026-01-01T08:00:00Z", "metric": "revenue", "variant": "new", "users": 1010, "relative": EFFECT,
        "sequential": NOTHING, "adjusted_p_value": 0.03, "power": 0.41,
    }  # fmt: skip
    lines = printed(print_history, {"experiment": "x", "points": [point], "truncated": True})
    assert lines[2].split() == [
        *("2026-01-01T08:00:00Z", "revenue", "new", "1,010", "+10.00%", "[+2.00%,", "+18.00%]", "-", "0.0300", "41%")
    ]
    assert lines[-1] == "warning: there are older cut-offs"
    assert "no results yet" in printed(print_history, {"experiment": "x", "points": [], "truncated": False})
