"""What is known without PostgreSQL, within one process. The clock is the test's."""

import asyncio

from neonblue_api.known import Definition, Known
from neonblue_api.settings import Settings

LEASE = 0.5


def _known(**settings) -> Known:
    servers = {"postgres_url": "postgresql://h/d", "clickhouse_url": "http://h:1", "api_token": "a" * 16}
    return Known(Settings(**servers, **({"definition_lease": LEASE} | settings)), None)


def _definition(fence: str = "1") -> Definition:
    return Definition("running", "seed", 1.0, ["a", "b"], [0.5, 0.5], 1, fence, 0.0)


def _find(held: Known, user: str = "u"):
    return asyncio.run(held.find("x", user))


def test_an_assignment_is_told_as_long_as_the_definition_beside_it_is_good(clock):
    held = _known()
    held.learned("x", _definition(), clock.now)
    held.assigned("x", "u", _definition(), "a", "2026-01-01T00:00:00.000000Z")
    clock.now += LEASE * 0.99
    assert _find(held)[1].variant_key == "a"
    assert _find(held, "other")[1] is None
    clock.now += LEASE * 0.02
    assert _find(held) == (None, None)


def test_the_lease_begins_before_postgresql_is_asked_however_long_that_takes(clock):
    held = _known()
    asked_at = clock.now
    clock.now += LEASE * 2
    held.learned("x", _definition(), asked_at)
    assert _find(held) == (None, None)


def test_after_a_deletion_no_earlier_assignment_is_told(clock):
    held = _known()
    held.learned("x", _definition("1"), clock.now)
    held.assigned("x", "u", _definition("1"), "a", "")
    held.assigned("x", "v", _definition("1"), "b", "")
    held.learned("x", _definition("2"), clock.now)
    held.assigned("x", "v", _definition("2"), "a", "")
    assert _find(held, "u")[1] is None
    assert _find(held, "v")[1].variant_key == "a"


def test_a_process_that_deleted_something_knows_nothing_of_it_any_more(clock):
    held = _known()
    held.learned("x", _definition(), clock.now)
    held.assigned("x", "u", _definition(), "a", "")
    held.forget("x")
    assert _find(held) == (None, None)


def test_no_more_assignments_are_remembered_than_the_setting_allows(clock):
    held = _known(assignment_cache=2)
    held.learned("x", _definition(), clock.now)
    for user in ("u", "v", "w"):
        held.assigned("x", user, _definition(), "a", "")
    assert [_find(held, user)[1] is not None for user in ("u", "v", "w")] == [False, True, True]


def test_without_a_lease_nothing_is_known(clock):
    held = _known(definition_lease=0)
    held.learned("x", _definition(), clock.now)
    held.assigned("x", "u", _definition(), "a", "")
    assert _find(held) == (None, None)
