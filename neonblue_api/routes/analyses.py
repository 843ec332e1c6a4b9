"""Closer looks at an experiment, read from ClickHouse's rollups (properties: from the events themselves)."""

import math
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from neonblue_api import experiments
from neonblue_api.access import ReadDep
from neonblue_api.errors import (
    AnalyticsUnavailable,
    DatabaseUnavailable,
    ExperimentNotFound,
    InvalidCursor,
    InvalidInput,
)
from neonblue_api.listing import CursorDep, LimitDep, one_page, read_cursor
from neonblue_api.models.analyses import (
    Funnel,
    FunnelOfVariant,
    Grain,
    Journey,
    JourneyStep,
    Point,
    Properties,
    PropertyCell,
    ReachedStep,
    TimeSeries,
)
from neonblue_api.models.fields import Key, Page, UtcTime
from neonblue_api.replies import responses
from neonblue_api.state import AnalyticsDep, DatabaseDep, PseudonymDep

router = APIRouter(prefix="/v1/experiments/{key}", tags=["results"])
_ERRORS = (InvalidInput, ExperimentNotFound, DatabaseUnavailable, AnalyticsUnavailable)
_MOST_POINTS = 20_000
_BEGINNING, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

EventTypeQuery = Annotated[str, Query(max_length=128, description="Only events of this type.")]
TimeQuery = Annotated[UtcTime | None, Query()]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@router.get("/journeys", responses=responses(*_ERRORS, InvalidCursor))
async def get_journeys(
    key: Key,
    _: ReadDep,
    database: DatabaseDep,
    analytics: AnalyticsDep,
    pseudonym: PseudonymDep,
    user_id: Annotated[str, Query(max_length=256, description="Only this user.")] = "",
    variant: Annotated[str, Query(max_length=128, description="Only users of this variant.")] = "",
    limit: LimitDep = 100,
    cursor: CursorDep = None,
) -> Page[Journey]:
    """What each user did on each day, step by step."""
    place = read_cursor(cursor, str, str)
    after_user, after_day = "", date(1970, 1, 1)
    if place:
        try:
            after_user, after_day = place[0], date.fromisoformat(place[1])
        except ValueError:
            raise InvalidCursor("cursor holds no day") from None
    experiment_id, _experiment_found = await experiments.find(database, key)
    rows = await analytics.read(
        "experiment_journeys",
        experiment_id=experiment_id,
        user_id=pseudonym(user_id) if user_id else "",
        variant=variant,
        after_user=after_user,
        after_day=after_day,
        limit=limit + 1,
    )
    journeys = [_journey(row) for row in rows]
    items, following = one_page(journeys, limit, lambda last: (last.user_id, last.day.isoformat()))
    return Page(items=items, next_cursor=following)


def _journey(row: dict[str, Any]) -> Journey:
    fields = dict(row)
    fields["variant"] = fields.pop("variant_key")
    fields["value"] = _finite(fields["value"])
    fields["steps"] = [
        JourneyStep(
            timestamp=step["timestamp"], event_type=step["event_type"], page=step["page"] or None, value=step["value"]
        )
        for step in fields["steps"]
    ]
    return Journey(**fields)


@router.get("/timeseries", responses=responses(*_ERRORS))
async def get_timeseries(
    key: Key,
    _: ReadDep,
    database: DatabaseDep,
    analytics: AnalyticsDep,
    grain: Grain = "day",
    event_type: EventTypeQuery = "",
    from_time: TimeQuery = None,
    to_time: TimeQuery = None,
) -> TimeSeries:
    """Events, users and value of each variant by hour or day."""
    experiment_id, _experiment_found = await experiments.find(database, key)
    rows = await analytics.read(
        f"experiment_timeseries_{grain}",
        experiment_id=experiment_id,
        event_type=event_type,
        from_time=_within(from_time or _BEGINNING),
        to_time=_within(to_time or _END),
        limit=_MOST_POINTS + 1,
    )
    points = [
        Point(
            at=row["at"],
            variant=row["variant_key"],
            event_type=row["event_type"],
            events=row["events"],
            users=row["users"],
            value=_finite(row["value"]),
        )
        for row in rows[:_MOST_POINTS]
    ]
    return TimeSeries(experiment=key, grain=grain, points=points, truncated=len(rows) > _MOST_POINTS)


def _within(moment: datetime) -> datetime:
    """ClickHouse knows the years 1900 to 2299; events lie well within."""
    return min(max(moment, _BEGINNING), _END)


@router.get("/properties", responses=responses(*_ERRORS))
async def get_properties(
    key: Key,
    _: ReadDep,
    database: DatabaseDep,
    analytics: AnalyticsDep,
    property: Annotated[str, Query(min_length=1, max_length=256, examples=["device"])],
    event_type: EventTypeQuery = "",
    limit: LimitDep = 100,
) -> Properties:
    """Events, users and conversions by page, device, browser or any other property."""
    experiment_id, _experiment_found = await experiments.find(database, key)
    rows = await analytics.read(
        "experiment_properties",
        experiment_id=experiment_id,
        property=property,
        event_type=event_type,
        limit=limit + 1,
    )
    cells = [
        PropertyCell(
            variant=row["variant_key"],
            property_value=row["property_value"],
            events=row["events"],
            users=row["users"],
            conversions=row["conversions"],
            value=_finite(row["value"]),
        )
        for row in rows[:limit]
    ]
    return Properties(experiment=key, property=property, cells=cells, truncated=len(rows) > limit)


@router.get("/funnel", responses=responses(*_ERRORS))
async def get_funnel(
    key: Key,
    _: ReadDep,
    database: DatabaseDep,
    analytics: AnalyticsDep,
    steps: Annotated[
        list[str],
        Query(description="Event types in their order, separated by commas or given several times.", max_length=20),
    ],
) -> Funnel:
    """Users of each variant who went through the steps in this order, whatever they did in between."""
    wanted = [step for given in steps for step in given.split(",")]
    if not 1 <= len(wanted) <= 20 or not all(0 < len(step) <= 128 for step in wanted):
        raise InvalidInput(f"steps is {','.join(steps)[:200]!r}", rule="a funnel has 1 to 20 event types, none empty")
    experiment_id, experiment = await experiments.find(database, key)
    rows = await analytics.read("experiment_funnel", experiment_id=experiment_id, steps=wanted)
    assigned = {
        row["variant_key"]: row["users"]
        for row in await analytics.read("experiment_summary", experiment_id=experiment_id)
    }
    variants = []
    for variant in sorted(experiment.variants, key=lambda v: not v.is_control):
        at_least = [0] * (len(wanted) + 1)
        for row in rows:
            if row["variant_key"] == variant.key:
                for reached in range(1, row["reached"] + 1):
                    at_least[reached] += row["users"]
        users = at_least[0] = assigned.get(variant.key, 0)
        variants.append(
            FunnelOfVariant(
                variant=variant.key,
                control=variant.is_control,
                users=users,
                steps=[
                    ReachedStep(
                        event_type=step,
                        users=at_least[number],
                        rate=at_least[number] / users if users else None,
                        rate_of_previous=at_least[number] / at_least[number - 1] if at_least[number - 1] else None,
                    )
                    for number, step in enumerate(wanted, 1)
                ],
            )
        )
    return Funnel(experiment=key, variants=variants)
