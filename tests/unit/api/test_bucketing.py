"""Bucketing against the GrowthBook SDK itself: whoever uses one gets the variant that the API gives."""

import pytest
from growthbook import Experiment, GrowthBook

from neonblue_api.bucketing import choose_variant

USERS = [f"user-{n}" for n in range(9_990)] + [
    "ü",
    "👩‍🚀",
    "שלום",
    " ",
    "a\nb",
    "0",
    "A" * 256,
    "e\u0301",
    "\ufffd",
    '"',
]
EXPERIMENTS = [
    {"seed": "checkout", "weights": [0.5, 0.5], "coverage": 1.0},
    {"seed": "sélection 👩‍🚀", "weights": [0.333333, 0.333333, 0.333334], "coverage": 1.0},
    {"seed": "ramp", "weights": [0.9, 0.1], "coverage": 0.25},
    {"seed": "four", "weights": [0.1, 0.2, 0.3, 0.4], "coverage": 0.5},
    {"seed": "zero", "weights": [0.0, 0.2, 0.8], "coverage": 1.0},
]


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e["seed"])
def test_a_user_gets_the_variant_that_the_python_sdk_gives(experiment):
    for user in USERS:
        sdk = GrowthBook(attributes={"id": user})
        result = sdk.run(
            Experiment(
                key="k",
                variations=list(range(len(experiment["weights"]))),
                seed=experiment["seed"],
                weights=experiment["weights"],
                coverage=experiment["coverage"],
                hashVersion=2,
            )
        )
        expected = result.variationId if result.inExperiment else None
        assert choose_variant(user_id=user, **experiment) == expected, user


def test_users_are_shared_by_the_weights():
    chosen = [choose_variant(seed="s", user_id=user, weights=[0.2, 0.8], coverage=0.5) for user in USERS]
    assert chosen.count(0) / len(USERS) == pytest.approx(0.1, abs=0.01)
    assert chosen.count(1) / len(USERS) == pytest.approx(0.4, abs=0.02)
    assert chosen.count(None) / len(USERS) == pytest.approx(0.5, abs=0.02)


def test_more_coverage_moves_nobody_who_takes_part():
    for user in USERS[:2000]:
        few = choose_variant(seed="s", user_id=user, weights=[0.5, 0.5], coverage=0.2)
        many = choose_variant(seed="s", user_id=user, weights=[0.5, 0.5], coverage=0.9)
        assert few is None or few == many
