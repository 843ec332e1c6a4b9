"""One request of each kind of `neonblue analyze`, for the tests of the JSON format."""

from tests.unit.stats.fix_arms import arm

REVENUE = {
    "id": "revenue", "kind": "mean", "control": {"n": 1200, "sum": 3014.5, "sum_squares": 20871.25},
    "treatment": {"n": 1187, "sum": 3290.75, "sum_squares": 23466.5}, "effect": "relative", "alpha": 0.05,
    "sided": "two",
}  # fmt: skip
BUYERS = {
    "id": "buyers",
    "kind": "proportion",
    "control": {"n": 1000, "sum": 100},
    "treatment": {"n": 1100, "sum": 140},
}
A, B = arm(51, 600), arm(52, 650, lift=0.05)


def ratio_sums(v):
    return {
        **v.sums, "denominator_sum": float(v.d.sum()), "denominator_sum_squares": float((v.d**2).sum()),
        "product_sum": float((v.y * v.d).sum()),
    }  # fmt: skip


def cuped_sums(v):
    return {
        **v.sums, "covariate_sum": float(v.x.sum()), "covariate_sum_squares": float((v.x**2).sum()),
        "covariate_product_sum": float((v.x * v.y).sum()),
    }  # fmt: skip


PER_ORDER = {"id": "per order", "kind": "ratio", "control": ratio_sums(A), "treatment": ratio_sums(B)}
ADJUSTED = {"id": "adjusted", "kind": "mean", "control": cuped_sums(A), "treatment": cuped_sums(B)}
P90 = {
    "id": "p90", "kind": "quantile", "quantile": 0.9, "control": {"n": 5000, "value": 10, "low": 9.5, "high": 10.6},
    "treatment": {"n": 5000, "value": 11, "low": 10.4, "high": 11.5},
}  # fmt: skip
SPLIT = {"id": "split", "kind": "sample_ratio", "counts": [44700, 45489], "weights": [0.5, 0.5]}
MANY = {"id": "many", "kind": "multiplicity", "p_values": [0.01, 0.04, 0.03], "method": "holm"}
SIZE = {"id": "size", "kind": "sample_size", "metric": "mean", "mean": 10, "variance": 400, "effect_size": 0.05}
POWER = {"id": "power", "kind": "power", "metric": "proportion", "mean": 0.1, "effect_size": 0.1, "n": 20000}
LOOKS = {"id": "looks", "kind": "spending", "looks": [0.5, 1], "spending": "pocock"}
ONE_OF_EACH = [REVENUE, BUYERS, PER_ORDER, ADJUSTED, P90, SPLIT, MANY, SIZE, POWER, LOOKS]

# Item, and a word of the warning or the field of the error.
UNDEFINED = [
    ({**REVENUE, "control": {"n": 1, "sum": 2, "sum_squares": 4}}, "at least 2 users"),
    ({**REVENUE, "control": {"n": 10, "sum": 0, "sum_squares": 0}}, "mean is 0"),
    ({**REVENUE, "control": {"n": 10, "sum": 20, "sum_squares": 40},
      "treatment": {"n": 5, "sum": 10, "sum_squares": 20}}, "nothing varies"),
    ({**BUYERS, "control": {"n": 10, "sum": 10}, "treatment": {"n": 10, "sum": 10}}, "nothing varies"),
    ({**BUYERS, "control": {"n": 10, "sum": 0}, "treatment": {"n": 10, "sum": 3}}, "mean is 0"),
    ({**PER_ORDER, "control": {**ratio_sums(A), "denominator_sum": 0, "denominator_sum_squares": 0, "product_sum": 0}},
     "denominator's mean is 0"),
    ({**P90, "control": {"n": 9, "value": 0, "low": 0, "high": 1}}, "quantile is 0"),
    ({**REVENUE, "control": {"n": 1000, "sum": 1e15, "sum_squares": 1.0000000000000002e27}}, "lost in rounding"),
]  # fmt: skip
REFUSED = [
    ({**REVENUE, "kind": "median"}, "kind"),
    ({k: v for k, v in REVENUE.items() if k != "kind"}, "kind"),
    ({**REVENUE, "control": {"n": 0, "sum": 0, "sum_squares": 0}}, "control.n"),
    ({**REVENUE, "control": {"n": 10.5, "sum": 0, "sum_squares": 0}}, "control.n"),
    ({**REVENUE, "control": {"n": True, "sum": 0, "sum_squares": 0}}, "control.n"),
    ({**REVENUE, "control": {"sum": 0, "sum_squares": 0}}, "control.n"),
    ({**REVENUE, "treatment": {"n": 10, "sum": 100, "sum_squares": 999}}, "treatment.sum_squares"),
    ({**REVENUE, "treatment": {"n": 10, "sum": 1, "sum_squares": -5}}, "treatment.sum_squares"),
    ({**REVENUE, "treatment": {"n": 1, "sum": 2, "sum_squares": 5}}, "treatment.sum_squares"),
    ({**REVENUE, "treatment": {"n": 10, "sum": "12", "sum_squares": 999}}, "treatment.sum"),
    ({**REVENUE, "treatment": {"n": 10, "sum": float("nan"), "sum_squares": 999}}, "treatment.sum"),
    ({**REVENUE, "treatment": {"n": 10, "sum": 1, "sum_squares": 10**400}}, "treatment.sum_squares"),
    ({**REVENUE, "treatment": [1, 2]}, "treatment"),
    ({k: v for k, v in REVENUE.items() if k != "treatment"}, "treatment"),
    ({**REVENUE, "alpha": 0}, "alpha"),
    ({**REVENUE, "alpha": 1.5}, "alpha"),
    ({**REVENUE, "sided": "three"}, "sided"),
    ({**REVENUE, "effect": "percent"}, "effect"),
    ({**REVENUE, "method": "magic"}, "method"),
    ({**REVENUE, "method": "exact"}, "method"),
    ({**REVENUE, "method": "msprt"}, "prior_variance"),
    ({**REVENUE, "method": "group_sequential"}, "looks"),
    ({**REVENUE, "method": "group_sequential", "looks": [0.5, 0.4]}, "looks.1"),
    ({**REVENUE, "method": "confidence_sequence", "tuning_n": 0}, "tuning_n"),
    ({**REVENUE, "method": "confidence_sequence", "sided": "greater", "alpha": 0.5}, "alpha"),
    ({**REVENUE, "method": "bayesian", "prior_variance": -1}, "prior_variance"),
    ({**BUYERS, "control": {"n": 10, "sum": 11}}, "control.sum"),
    ({**BUYERS, "control": {"n": 10, "sum": -1}}, "control.sum"),
    ({**BUYERS, "control": {"n": 10, "sum": 1.5}}, "control.sum"),
    ({**ADJUSTED, "control": {**cuped_sums(A), "covariate_product_sum": 1e9}}, "control.covariate_product_sum"),
    ({**ADJUSTED, "control": A.sums}, "control.covariate_sum"),
    ({**ADJUSTED, "control": {**A.sums, "covariate_sum": 1.0}}, "control.covariate_sum_squares"),
    ({**PER_ORDER, "control": {**ratio_sums(A), "product_sum": 1e12}}, "control.product_sum"),
    ({**PER_ORDER, "control": {**ratio_sums(A), "denominator_sum_squares": 1.0}}, "control.denominator_sum_squares"),
    ({**P90, "quantile": 1}, "quantile"),
    ({**P90, "control": {"n": 10, "value": 1, "low": 2, "high": 3}}, "control.low"),
    ({**P90, "control": {"n": 10, "value": 4, "low": 2, "high": 3}}, "control.high"),
    ({**P90, "method": "exact"}, "method"),
    ({**SPLIT, "weights": [1]}, "weights"),
    ({**SPLIT, "weights": [1, 0]}, "weights.1"),
    ({**SPLIT, "counts": [1, -2]}, "counts.1"),
    ({**SPLIT, "counts": []}, "counts"),
    ({**SPLIT, "counts": "many"}, "counts"),
    ({**MANY, "p_values": [0.1, 1.2]}, "p_values.1"),
    ({**MANY, "method": "sidak"}, "method"),
    ({**SIZE, "variance": -1}, "variance"),
    ({k: v for k, v in SIZE.items() if k != "variance"}, "variance"),
    ({k: v for k, v in SIZE.items() if k != "effect_size"}, "effect_size"),
    ({**SIZE, "power": 1}, "power"),
    ({**SIZE, "power": 0.04}, "power"),
    ({**SIZE, "variants": 1}, "variants"),
    ({**POWER, "mean": 1.2}, "mean"),
    ({k: v for k, v in POWER.items() if k != "n"}, "n"),
    ({**LOOKS, "looks": [0.5, 0.5]}, "looks.1"),
    ({**LOOKS, "looks": [0.5, 1.2]}, "looks.1"),
    ({**LOOKS, "looks": []}, "looks"),
    ({**LOOKS, "looks": [i / 501 for i in range(1, 502)]}, "looks"),
    ({**LOOKS, "looks": ["half", 1]}, "looks.0"),
    ({**LOOKS, "spending": "haybittle"}, "spending"),
    ({**REVENUE, "id": {"a": 1}}, "id"),
    (17, "comparison"),
    (None, "comparison"),
]  # fmt: skip
