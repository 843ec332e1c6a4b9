import random
from collections import Counter
from itertools import islice
from uuid import UUID

import msgspec
import numpy as np

from bench.feeds import Batches, DistinctBatches
from bench.traffic import Population, events, new_ids


def test_ids_are_uuids_of_version_4_and_never_twice():
    ids = [UUID(bytes(row).decode()) for row in new_ids(10_000, np.random.default_rng(1))]
    assert {one.version for one in ids} == {4}
    assert {one.variant for one in ids} == {"specified in RFC 4122"}
    assert len(set(ids)) == len(ids)


def test_a_template_sent_again_differs_in_ids_and_times_alone():
    calls = list(islice(Batches(100, "x", size=50, templates=1).calls(), 2))
    first, second = (msgspec.json.decode(call.body)["events"] for call in calls)
    assert len(first) == calls[0].events == 50
    assert not {one["id"] for one in first} & {one["id"] for one in second}
    for one, other in zip(first, second, strict=True):
        kept = {"id", "timestamp"}
        assert {k: v for k, v in one.items() if k not in kept} == {k: v for k, v in other.items() if k not in kept}
        assert one["timestamp"][20:] == other["timestamp"][20:]


def test_bytes_of_events_are_those_of_their_json_without_the_envelope_of_the_batch():
    call = next(DistinctBatches(500, 100, "d").calls())
    assert call.event_bytes == len(call.body) - len('{"events":[]}') - 499
    assert sum(len(msgspec.json.encode(one)) for one in msgspec.json.decode(call.body)["events"]) == call.event_bytes


def test_few_users_send_most_events_and_exposures_name_the_experiment():
    drawn = list(islice(events(Population(10_000), random.Random(1), "cart"), 30_000))
    users = Counter(one["user_id"] for one in drawn)
    assert sum(count for _, count in users.most_common(100)) > len(drawn) / 2
    assert len(users) > 500
    assert {one.get("experiment") for one in drawn if one["event_type"] == "exposure"} == {"cart"}
    assert {one.get("experiment") for one in drawn if one["event_type"] != "exposure"} == {None}
