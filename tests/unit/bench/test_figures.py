import json

import numpy as np

from bench.figures import Figure, as_markdown, as_text


def test_a_goal_is_met_on_the_side_that_is_better():
    assert Figure("p", "n", 10, "/s", 10).met
    assert not Figure("p", "n", 9.9, "/s", 10).met
    assert Figure("p", "n", 9.9, "ms", 10, "less").met
    assert not Figure("p", "n", 10.1, "ms", 10, "less").met
    assert Figure("p", "n", 1, "ms").met is None


def test_the_ratio_is_the_value_over_its_reference():
    assert Figure("p", "n", 30, "/s", reference="other", reference_value=20).ratio == 1.5
    assert Figure("p", "n", 30, "/s").ratio is None


def test_a_table_has_a_cell_for_every_column_whatever_a_text_holds():
    figures = [Figure("p", "a|b", 12_345.6, "/s", 10_000, "more", "x|y", 500, "said"), Figure("p", "c", 0.0123, "s")]
    table = as_markdown(figures).split("\n\n")[0].splitlines()
    assert {line.count("|") for line in table} == {9}
    assert "| 12,346 | /s | ≥ 10,000 | yes | x/y: 500 | 24.7 × |" in table[2]
    assert "0.0123" in table[3]
    assert "p, a|b: said" in as_text(figures)


def test_what_numpy_computed_can_be_kept_as_json():
    figure = Figure("p", "n", np.float64(3), "ms", np.int64(4), "less", "other", np.float64(2))
    assert json.loads(json.dumps(figure.as_dict()))["met"] is True
