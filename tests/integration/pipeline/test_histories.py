"""Users who are assigned after they did something: their history is added to days that otherwise stand as they are."""

from typing import Any
from uuid import uuid4

from neonblue_pipeline import replay
from neonblue_pipeline.settings import TOPIC
from tests.integration.pipeline.conftest import Pipeline

METRICS = [("proportion", "click", None), ("mean", "conversion", None), ("funnel", "click", None)]
EARLIER = ["2018-06-01", "2018-06-02", "2018-06-03"]
ASSIGNED = "2018-06-04T12:00:00Z"


def returning(pipeline: Pipeline, metrics: Any = METRICS) -> tuple[str, int, str]:
    """A running experiment and a user with a click and a conversion on each of EARLIER and on ASSIGNED's day, built."""
    key, x = pipeline.create_experiment(metrics, started_at="2018-01-01")
    user = f"u-{uuid4()}"
    pipeline.await_events(
        pipeline.send(
            [
                {"user_id": user, "event_type": kind, "timestamp": f"{day}T{hour}:00:00Z", "properties": {"value": 0.1}}
                for day in [*EARLIER, ASSIGNED[:10]]
                for hour in (10, 14)
                for kind in ("click", "conversion")
            ]
        )
    )
    pipeline.await_everything()
    pipeline.build()
    return key, x, user


def parts(pipeline: Pipeline, table: str) -> set[str]:
    """Of the days EARLIER: a part that is written or swapped in has a name of its own."""
    query = """select name from system.parts where database = currentDatabase() and table = {t:String} and active
               and partition in {days:Array(String)}"""
    return {name for (name,) in pipeline.clickhouse(query, t=table, days=EARLIER)}


def as_a_whole(pipeline: Pipeline, x: int) -> dict[str, list[tuple[Any, ...]]]:
    """The experiment's rollups once all these days were built again."""
    days = [day for (day,) in pipeline.clickhouse("select distinct day from user_days where toYear(day) = 2018")]
    replay.mark_days(pipeline.server, days)
    assert set(days) <= pipeline.build().days.keys()
    return pipeline.rollups(x)


def test_the_history_of_a_user_who_is_assigned_is_added_and_no_day_before_is_built_again(pipeline: Pipeline) -> None:
    key, x, user = returning(pipeline)
    stands = {table: parts(pipeline, table) for table in ("user_journeys", "user_days")}
    pipeline.assign(key, {user: "new"}, assigned_at=ASSIGNED)
    pipeline.await_everything()
    built = pipeline.build()
    assert [day.isoformat() for day in built.days] == [ASSIGNED[:10]]
    assert built.histories == len(EARLIER) * len(METRICS)
    assert {table: parts(pipeline, table) for table in stands} == stands
    found = pipeline.rollups(x)
    history = """select metric, history_events, history_sum, events
                 from user_rollup where experiment_id = {x:UInt64} order by day, metric"""
    of_a_day = [(f"{key}.0", 2, 0, 0), (f"{key}.1", 2, 0.2, 0), (f"{key}.2", 2, 0, 0)]
    of_the_last = [(f"{key}.0", 1, 0, 1), (f"{key}.1", 1, 0.1, 1), (f"{key}.2", 1, 0, 1)]
    assert pipeline.clickhouse(history, x=x) == of_a_day * len(EARLIER) + of_the_last
    assert as_a_whole(pipeline, x) == found


def test_a_build_that_did_not_get_to_its_end_has_its_histories_added_once(pipeline: Pipeline) -> None:
    key, x, user = returning(pipeline)
    pipeline.assign(key, {user: "new"}, assigned_at=ASSIGNED)
    pipeline.await_everything()
    pipeline.build()
    found = pipeline.rollups(x)
    # Two of the three days had their rows when it was killed, and no mark was gone.
    pipeline.server.command(f"alter table user_rollup delete where experiment_id = {x} and day = '{EARLIER[1]}'")
    mark = ["user_id", "assigned_at", "topic", "partition", "last_offset", "experiment_id"]
    assigned_at = pipeline.clickhouse("select assigned_at from assignments_mv where user_id = {u:String}", u=user)[0][0]
    pipeline.server.insert("dirty_assignments", mark, [[user, assigned_at, TOPIC, 0, 0, x]])
    assert pipeline.build().histories == len(METRICS)
    assert pipeline.rollups(x) == found


def test_a_user_who_is_assigned_anew_has_no_history_of_the_assignment_before(pipeline: Pipeline) -> None:
    """Earlier than before, later, and not at all; the days between the two are built as a whole."""
    key, x, user = returning(pipeline)
    for moment in (ASSIGNED, "2018-06-02T12:00:00Z", "2018-07-04T00:00:00Z", None):
        pipeline.postgres("select delete_assignment(%s, %s)", (key, user))
        if moment:
            pipeline.assign(key, {user: "new"}, assigned_at=moment)
        pipeline.await_everything()
        pipeline.build()
        found = pipeline.rollups(x)
        assert as_a_whole(pipeline, x) == found, moment
    assert found["user_rollup"] == found["user_journeys"] == []


def test_days_on_which_a_user_counted_are_built_as_a_whole_though_only_the_later_assignment_has_arrived(
    pipeline: Pipeline,
) -> None:
    key, x, user = returning(pipeline, [("proportion", "purchase", None)])
    pipeline.assign(key, {user: "new"}, assigned_at="2018-06-02T12:00:00Z")
    pipeline.await_everything()
    pipeline.build()
    assert len(pipeline.rollups(x)["user_journeys"]) == 3
    pipeline.postgres("select delete_assignment(%s, %s)", (key, user))
    pipeline.assign(key, {user: "new"}, assigned_at=ASSIGNED)
    pipeline.await_everything()
    # As it is while the message of the deletion waits to be replayed.
    of_deleted = f"user_id = '{user}' and assigned_at < '{ASSIGNED[:10]}'"
    assert pipeline.clickhouse(f"select count() from dirty_assignments where {of_deleted}") == [(1,)]
    pipeline.server.command(f"alter table dirty_assignments delete where {of_deleted}", mutations_sync=2)
    pipeline.build()
    assert len(pipeline.rollups(x)["user_journeys"]) == 1


def test_marks_of_a_version_that_told_no_experiment_have_the_days_of_the_history_built_as_a_whole(
    pipeline: Pipeline,
) -> None:
    key, x, user = returning(pipeline)
    pipeline.assign(key, {user: "new"}, assigned_at=ASSIGNED)
    pipeline.await_everything()
    pipeline.server.command(
        f"alter table dirty_assignments update experiment_id = 0 where user_id = '{user}'", mutations_sync=2
    )
    built = pipeline.build()
    assert built.histories == 0
    assert {day.isoformat() for day in built.days} >= {*EARLIER, ASSIGNED[:10]}
    assert as_a_whole(pipeline, x) == pipeline.rollups(x)
