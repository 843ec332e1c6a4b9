"""Which variant a user's hash stands for: the GrowthBook SDK specification, hash version 2, by the field's own library.

Any GrowthBook SDK that is given the same seed, weights and coverage puts a user into the same variant.
"""

from collections.abc import Sequence

from growthbook.core import chooseVariation, gbhash, getBucketRanges

HASH_VERSION = 2


def choose_variant(*, seed: str, user_id: str, weights: Sequence[float], coverage: float) -> int | None:
    """Position of the user's variant, or None where the user is outside the coverage.

    Args:
        weights: one a variant, each 0..1, summing to 1, in the order of the variants.
        coverage: share of users that take part, 0..1.
    Source:
        https://docs.growthbook.io/lib/build-your-own (hashing, bucket ranges).
    """
    place = gbhash(seed, user_id, HASH_VERSION)
    if place is None:
        return None
    chosen = chooseVariation(place, getBucketRanges(len(weights), coverage, list(weights)))
    return None if chosen < 0 else chosen
