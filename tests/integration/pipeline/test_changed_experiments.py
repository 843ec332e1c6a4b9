"""Results and summary are made of the experiments of which something changed: of what has ended, only where it did."""

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

from neonblue_pipeline.publication import publish
from tests.integration.pipeline.conftest import Pipeline

TABLES = ("experiment_results", "experiment_quality", "experiment_segments", "experiment_summary", "crossed_users")


class Ended(NamedTuple):
    """An experiment of the first five days of a March, of a year in which nothing else happens; its users' variants."""

    year: int
    key: str
    id: int
    users: dict[str, str]


def end(pipeline: Pipeline, year: int) -> Ended:
    key, x = pipeline.create_experiment(
        [("proportion", "click", None), ("mean", "purchase", None)], f"{year}-03-01T00:00:00Z"
    )
    users = {f"u-{uuid4()}": variant for variant in ("control", "control", "new", "new")}
    pipeline.assign(key, users, f"{year}-03-01T00:00:00Z")
    does(pipeline, list(users), "click", f"{year}-03-02")
    pipeline.postgres(
        "update experiments set status = 'stopped', stopped_at = %s where experiment_id = %s",
        (f"{year}-03-05T12:00:00Z", x),
    )
    pipeline.postgres("select publish_experiment(%s)", (x,))
    return Ended(year, key, x, users)


def does(pipeline: Pipeline, users: list[str], event_type: str, day: str, **more: Any) -> None:
    event = {"event_type": event_type, "timestamp": f"{day}T13:00:00Z", "properties": {"value": 1}} | more
    pipeline.send([event | {"user_id": user} for user in users])


def published(pipeline: Pipeline, *, of_all: bool = False) -> set[int]:
    """The experiments of which results were written, after a build of all that PostgreSQL has accepted."""
    pipeline.await_everything()
    pipeline.build(of_all=of_all)
    return {row[0] for row in publish(pipeline.server).quality}


def written(pipeline: Pipeline, x: int) -> dict[str, list[tuple[Any, ...]]]:
    """What readers see of the experiment, at all its cut-offs."""
    query = "select * from {table:Identifier} where experiment_id = {x:UInt64} order by all"
    return {table: pipeline.clickhouse(query, table=table, x=x) for table in TABLES}


def test_of_an_experiment_that_ended_nothing_is_written_while_nothing_of_it_changes(pipeline: Pipeline) -> None:
    over = end(pipeline, 2001)
    assert over.id in published(pipeline)
    before = written(pipeline, over.id)
    key, running = pipeline.create_experiment([("proportion", "click", None)], "2001-03-25T00:00:00Z")
    pipeline.assign(key, dict.fromkeys(over.users, "new"), "2001-04-01T00:00:00Z")
    does(pipeline, [*over.users, "somebody"], "click", "2001-04-02")
    assert published(pipeline) & {over.id, running} == {running}
    assert written(pipeline, over.id) == before
    assert published(pipeline, of_all=True) >= {over.id, running}
    assert written(pipeline, over.id) == before


def assignment_that_comes_late(pipeline: Pipeline, over: Ended, day: str = "03-04") -> str:
    """Accepted while the experiment ran, and only now on its way."""
    user, status = f"u-{uuid4()}", "update experiments set status = %s where experiment_id = %s"
    pipeline.postgres(status, ("running", over.id))
    pipeline.assign(over.key, {user: "new"}, f"{over.year}-{day}T00:00:00Z")
    pipeline.postgres(status, ("stopped", over.id))
    return user


def late_event_of_a_user_assigned_after_the_end(pipeline: Pipeline, over: Ended) -> None:
    """By a clock ahead of ours: what he did before lies after the end, and is history all the same."""
    user = assignment_that_comes_late(pipeline, over, "03-20")
    assert over.id in published(pipeline)
    does(pipeline, [user], "purchase", f"{over.year}-03-19")


def someone_is_assigned_no_more(pipeline: Pipeline, over: Ended) -> None:
    pipeline.postgres("select delete_assignment(%s, %s)", (over.key, next(iter(over.users))))


def late_event(pipeline: Pipeline, over: Ended) -> None:
    does(pipeline, list(over.users), "click", f"{over.year}-03-04")


def late_event_of_the_history(pipeline: Pipeline, over: Ended) -> None:
    does(pipeline, list(over.users), "click", f"{over.year}-02-20")


def event_by_a_fast_clock(pipeline: Pipeline, over: Ended) -> None:
    """On the day after the end, which the audit of the clocks looks at."""
    does(pipeline, list(over.users), "click", f"{over.year}-03-06")


def seen_in_another_variant_after_the_end(pipeline: Pipeline, over: Ended) -> None:
    control = next(iter(over.users))
    told = {"experiment": over.key, "properties": {"variant": "new"}}
    does(pipeline, [control], "exposure", f"{over.year}-04-01", **told)


def is_archived(pipeline: Pipeline, over: Ended) -> None:
    pipeline.postgres("update experiments set status = 'archived' where experiment_id = %s", (over.id,))
    pipeline.postgres("select publish_experiment(%s)", (over.id,))


def results_are_gone(pipeline: Pipeline, over: Ended) -> None:
    pipeline.server.command(
        f"alter table experiment_quality_rows delete where experiment_id = {over.id}", mutations_sync=2
    )


def summary_is_gone(pipeline: Pipeline, over: Ended) -> None:
    pipeline.server.command(f"alter table experiment_summary delete where experiment_id = {over.id}", mutations_sync=2)


CHANGES: list[Callable[[Pipeline, Ended], object]] = [
    late_event_of_a_user_assigned_after_the_end,
    assignment_that_comes_late,
    someone_is_assigned_no_more,
    late_event,
    late_event_of_the_history,
    event_by_a_fast_clock,
    seen_in_another_variant_after_the_end,
    is_archived,
    results_are_gone,
    summary_is_gone,
]


def test_what_changes_an_experiment_that_ended_is_in_its_results_as_if_all_were_made_again(pipeline: Pipeline) -> None:
    over = [end(pipeline, 2002 + place) for place in range(len(CHANGES))]
    ids = {one.id for one in over}
    assert ids <= published(pipeline)
    for change, of in zip(CHANGES, over, strict=True):
        change(pipeline, of)
    pipeline.await_everything()
    pipeline.build()  # results did not get written after it
    pending = pipeline.server.read("pending_rollups")[0]
    assert pending["experiments"] >= len(ids)
    assert pending["oldest_at"]
    missing = ids - published(pipeline)
    assert not missing, [change.__name__ for change, of in zip(CHANGES, over, strict=True) if of.id in missing]
    assert pipeline.server.read("pending_rollups")[0]["experiments"] == 0
    found = {x: written(pipeline, x) for x in ids}
    assert not ids & published(pipeline)
    assert {x: written(pipeline, x) for x in ids} == found
    assert ids <= published(pipeline, of_all=True)
    assert {x: written(pipeline, x) for x in ids} == found
