"""An example of every reply, for the OpenAPI document; a test holds each against its schema."""

from datetime import UTC, date, datetime
from typing import Any

from pydantic import BaseModel

from neonblue_api import results
from neonblue_api.models import analyses
from neonblue_api.models.audit import AuditEntry
from neonblue_api.models.changes import Change
from neonblue_api.models.experiments import Experiment, MetricOfExperiment, Phase, Variant
from neonblue_api.models.metrics import Metric
from neonblue_api.models.privacy import Erasure, ErasureStep
from neonblue_api.models.tokens import NewToken, Token

_AT = datetime(2026, 1, 31, 23, 59, 59, 123456, UTC)
_TIME = "2026-01-31T23:59:59.123456Z"
_REQUEST = "4f6c0e0e-6f0b-4f8a-9a53-8a4d8f0c2b11"
_EVENT = "0193a1c2-7d1e-7c3a-9b55-0a54a8a3a1d7"
_KEY = "checkout_button"

_VARIANTS = [
    Variant(key="old", name="Button below", weight=0.5, is_control=True),
    Variant(key="new", name="Button above", weight=0.5, is_control=False),
]
_EXPERIMENT = Experiment(
    key=_KEY,
    name="Button above the fold",
    description="",
    status="running",
    seed=_KEY,
    coverage=1.0,
    phase=1,
    revision=2,
    started_at=_AT,
    stopped_at=None,
    created_at=_AT,
    updated_at=_AT,
    variants=_VARIANTS,
    metrics=[MetricOfExperiment(key="purchase", role="target")],
)
_PHASE = Phase(phase=1, began_at=_AT, ended_at=None, coverage=1.0, weights={"old": 0.5, "new": 0.5}, reason="started")
_METRIC = Metric(
    key="purchase",
    name="Bought",
    kind="proportion",
    event_type="purchase",
    value=None,
    direction="increase",
    definition={},
    revision=0,
    created_at=_AT,
    updated_at=_AT,
)
_TOKEN = Token(
    token_id=3,
    replaces=None,
    name="checkout service",
    scopes=["ingest"],
    created_at=_AT,
    expires_at=None,
    last_used_at=_AT,
    revoked_at=None,
)
_AUDIT_ENTRY = AuditEntry(
    number=12,
    at=_AT,
    actor="growth team",
    actor_id=3,
    request_id=_REQUEST,
    action="delete",
    subject_type="experiment",
    subject=_KEY,
    before=_EXPERIMENT.model_dump(mode="json"),
    after=None,
    blanked=False,
    entry_sha256="2f6d…",
)
_CHANGE = Change.of(_AUDIT_ENTRY)
_ERASURE = Erasure(
    erasure_id=7,
    requested_at=_AT,
    requested_by="support desk",
    finished_at=_AT,
    steps=[ErasureStep(step="facts", done_at=_AT), ErasureStep(step="log", done_at=_AT)],
)
_ROW = {"metric": "purchase", "users": 5012, "sum": 530.0, "mean": 0.1057, "cutoff_at": _AT}
_RESULTS = results.assemble(
    _EXPERIMENT,
    {"purchase": "proportion"},
    [
        _ROW | {"variant": "old"},
        _ROW
        | {"variant": "new", "users": 4988, "sum": 573.0, "mean": 0.1149}
        | {"abs_estimate": 0.0091, "abs_low": -0.0031, "abs_high": 0.0214, "abs_p_value": 0.143},
    ],
    None,
)
_SUMMARY = results.summarise(
    _EXPERIMENT,
    [
        {"variant_key": "old", "users": 5012, "unique_users": 4100, "events": 9120, "converted_users": 530},
        {"variant_key": "new", "users": 4988, "unique_users": 4080, "events": 9340, "converted_users": 573},
    ],
)
_STEP = analyses.JourneyStep(timestamp=_AT, event_type="purchase", page="/checkout", value=39.99)
_JOURNEY = analyses.Journey(
    user_id="u1",
    day=date(2026, 1, 31),
    variant="new",
    events=1,
    exposures=0,
    clicks=0,
    conversions=0,
    value=39.99,
    first_event_at=_AT,
    last_event_at=_AT,
    steps=[_STEP],
)
_POINT = analyses.Point(at=_AT, variant="new", event_type="purchase", events=573, users=573, value=22914.27)
_CELL = analyses.PropertyCell(
    variant="new", property_value="mobile", events=410, users=380, conversions=41, value=1639.59
)
_FUNNEL = analyses.FunnelOfVariant(
    variant="new",
    control=False,
    users=4988,
    steps=[analyses.ReachedStep(event_type="purchase", users=573, rate=0.1149, rate_of_previous=0.1149)],
)
_USER = {"user_id": "u1", "attributes": {"country": "DE"}, "created_at": _TIME, "updated_at": _TIME}
_STORED_EVENT = {
    "id": _EVENT,
    "user_id": "u1",
    "event_type": "purchase",
    "timestamp": _TIME,
    "experiment": _KEY,
    "variant_key": "new",
    "assignment_at": _TIME,
    "properties": {"page": "/checkout", "value": 39.99},
    "session_id": None,
    "request_id": _REQUEST,
    "created_at": _TIME,
}
_STORED_ASSIGNMENT = {
    "user_id": "u1",
    "variant_key": "new",
    "assigned_at": _TIME,
    "source": "hash",
    "attributes": {},
    "request_id": _REQUEST,
    "created_at": _TIME,
}


def _page(item: Any) -> dict[str, Any]:
    return {"items": [item], "next_cursor": None}


_MODELS: list[BaseModel] = [
    *(
        _EXPERIMENT,
        _VARIANTS[0],
        _PHASE,
        _METRIC,
        _TOKEN,
        _CHANGE,
        _AUDIT_ENTRY,
        _RESULTS,
        _SUMMARY,
        _JOURNEY,
        _ERASURE,
    ),
    NewToken(token="nb_…", **_TOKEN.model_dump()),  # noqa: S106 - shows the form
    analyses.TimeSeries(experiment=_KEY, grain="day", points=[_POINT], truncated=False),
    analyses.Properties(experiment=_KEY, property="device", cells=[_CELL], truncated=False),
    analyses.Funnel(experiment=_KEY, variants=[_FUNNEL]),
]
_PAGED = ("Experiment", "Metric", "Token", "Change", "AuditEntry", "Journey", "Erasure")
# Name of a schema → its example.
REPLIES: dict[str, Any] = {type(model).__name__: model.model_dump(mode="json") for model in _MODELS}
REPLIES |= {f"Page_{name}_": _page(REPLIES[name]) for name in _PAGED}
REPLIES |= {
    "User": _USER,
    "UserStored": _USER,
    "StoredEvent": _STORED_EVENT,
    "StoredAssignment": _STORED_ASSIGNMENT,
    "UserPage": _page(_USER),
    "EventPage": _page(_STORED_EVENT),
    "AssignmentPage": _page(_STORED_ASSIGNMENT),
    "EventStored": {"id": _EVENT, "outcome": "accepted"},
    "Assignment": {
        "experiment": _KEY,
        "user_id": "u1",
        "variant_key": "new",
        "assigned_at": _TIME,
        "outcome": "created",
    },
    "BatchStored": {
        "accepted": 2,
        "duplicates": 1,
        "rejected": [{"index": 3, "code": "invalid_input", "message": "user_id: Expected `str`, got `int`"}],
    },
}
