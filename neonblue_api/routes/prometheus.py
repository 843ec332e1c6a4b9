"""What the API counts of itself, as Prometheus reads it."""

from fastapi import APIRouter, Depends
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from neonblue_api import monitoring
from neonblue_api.access import authorize_metrics
from neonblue_api.errors import LockedOut, Unauthorized
from neonblue_api.replies import responses

router = APIRouter(tags=["health"])
_TEXT = {"text/plain": {"schema": {"type": "string"}}}


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        **{200: {"description": "Prometheus' text format", "content": _TEXT}},
        **responses(Unauthorized, LockedOut),
    },
    dependencies=[Depends(authorize_metrics)],
)
def metrics() -> Response:
    """Counts of requests, events and connections. The token is NEONBLUE_METRICS_TOKEN, which opens nothing else."""
    return Response(monitoring.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
