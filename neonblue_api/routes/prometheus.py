"""What the API counts of itself, as Prometheus reads it."""

import hmac
from typing import Annotated

from fastapi import APIRouter, Header
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from neonblue_api import monitoring
from neonblue_api.errors import Unauthorized
from neonblue_api.replies import responses
from neonblue_api.settings import Settings
from neonblue_api.state import SettingsDep

router = APIRouter(tags=["health"])
_TEXT = {"text/plain": {"schema": {"type": "string"}}}


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        **{200: {"description": "Prometheus' text format", "content": _TEXT}},
        **responses(Unauthorized),
    },
)
def metrics(settings: SettingsDep, authorization: Annotated[str, Header()] = "") -> Response:
    """Counts of requests, events and connections. The token is NEONBLUE_METRICS_TOKEN, which opens nothing else."""
    scheme, _, token = authorization.partition(" ")
    # Neither is looked up in PostgreSQL: this route has to answer when that is away.
    if scheme.lower() != "bearer" or not _is_known(token.strip(), settings):
        raise Unauthorized("this route needs NEONBLUE_METRICS_TOKEN, or NEONBLUE_API_TOKEN, as bearer token")
    return Response(monitoring.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _is_known(token: str, settings: Settings) -> bool:
    known = [secret.get_secret_value() for secret in (settings.metrics_token, settings.api_token) if secret]
    return any(hmac.compare_digest(token.encode(), secret.encode()) for secret in known)
