"""The app: assembly only. `uvicorn neonblue_api.main:app`; importing it opens no connection and reads no setting."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from neonblue_api import documentation, monitoring, replies, start_check
from neonblue_api.access import Tokens
from neonblue_api.analytics import Analytics
from neonblue_api.assigning import Assigning
from neonblue_api.assignment_input import AssignmentReader
from neonblue_api.database import Database
from neonblue_api.direct_route import DirectPaths
from neonblue_api.event_input import EventReader
from neonblue_api.intake import Intake
from neonblue_api.known import Known
from neonblue_api.middleware import BrowserOrigins, RequestId
from neonblue_api.pseudonyms import pseudonyms
from neonblue_api.rate_limits import RateLimits
from neonblue_api.redis_link import RedisLink
from neonblue_api.routes import (
    analyses,
    assignments,
    audit,
    changes,
    events,
    experiments,
    health,
    metrics,
    privacy,
    prometheus,
    results,
    tokens,
    users,
    variants,
)
from neonblue_api.sessions import Sessions
from neonblue_api.settings import load_settings
from neonblue_api.stopping import Stopping
from neonblue_api.user_input import UserReader


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = load_settings()
    database = Database(settings)
    app.state.settings = settings
    app.state.database = database
    app.state.analytics = Analytics(settings)
    app.state.tokens = Tokens(settings, database)
    app.state.intake = Intake(database, settings)
    app.state.redis = link = RedisLink(settings) if settings.redis_url else None
    app.state.known = Known(settings, link)
    app.state.sessions = Sessions(settings, link)
    app.state.rate_limits = RateLimits(settings, link, app)
    app.state.pseudonym = pseudonym = pseudonyms(settings)
    app.state.assigning = Assigning(database, app.state.known, settings, pseudonym)
    app.state.event_reader = EventReader(settings, pseudonym)
    app.state.assignment_reader = AssignmentReader(settings, pseudonym)
    app.state.user_reader = UserReader(settings)
    # What was imported lives as long as the process: looking through it at every collection costs more than decoding a
    # batch, which makes thousands of objects that reference counting frees.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    app.state.stopping.watch(settings)
    if link is not None:
        await link.start()
    looking = asyncio.create_task(start_check.tell(database, app.state.analytics))
    yield
    looking.cancel()
    if link is not None:
        await link.close()
    await app.state.analytics.close()
    await database.close()


def create_app() -> FastAPI:
    app = FastAPI(
        title="NeonBlue",
        version="1",
        description="Experiments in, decisions out. Facts are stored before a reply is sent; errors carry a code, "
        "what was found, the rule and the way out.",
        lifespan=_lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    for resource in (
        events,
        assignments,
        users,
        experiments,
        variants,
        metrics,
        results,
        analyses,
        changes,
        audit,
        privacy,
        tokens,
        health,
        prometheus,
    ):
        app.include_router(resource.router)
    replies.install(app)
    documentation.install(app)
    app.state.stopping = Stopping()
    app.add_middleware(DirectPaths, endpoints=events.DIRECT)
    app.add_middleware(BrowserOrigins)
    app.add_middleware(RequestId, stopping=app.state.stopping)
    app.add_middleware(monitoring.RequestMeter, direct=frozenset(events.DIRECT))
    return app


app = create_app()
