"""Batches in which a key stands several times, made into calls in which it stands once."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

# One statement stores this many facts; a statement that takes longer than the statement timeout is a sick server.
PER_CALL = 2_000
# A key with more different contents than this is a mistake, and each would cost a round trip of its own.
MOST_CONTENTS = 8


@dataclass(slots=True)
class Calls:
    """Positions by call, in the order of the batch; a repeat shares the outcome of the first; excess is not sent."""

    calls: list[Sequence[int]]
    same_as: dict[int, int] = field(default_factory=dict)
    excess: list[int] = field(default_factory=list)


def in_calls(keys: Sequence[Hashable], content: Callable[[int], Hashable]) -> Calls:
    """Splits a batch by `keys`; `content` tells what a position says about its key.

    Within a call rows are locked in the order of their keys. Two writers can only lock each other out over several
    calls with the same keys in another order; the loser's transaction is run again.
    """
    if len(keys) <= PER_CALL and len(set(keys)) == len(keys):
        return Calls([range(len(keys))])
    split = Calls([])
    contents: dict[Hashable, dict[Hashable, int]] = {}
    rounds: list[list[int]] = []
    for position, key in enumerate(keys):
        said = contents.setdefault(key, {})
        first = said.setdefault(content(position), position)
        if first != position:
            split.same_as[position] = first
        elif len(said) > MOST_CONTENTS:
            split.excess.append(position)
        else:
            if len(said) > len(rounds):
                rounds.append([])
            rounds[len(said) - 1].append(position)
    for positions in rounds:
        split.calls += [positions[start : start + PER_CALL] for start in range(0, len(positions), PER_CALL)]
    return split
