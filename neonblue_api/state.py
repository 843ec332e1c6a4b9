"""What a route may ask for: the parts that the app holds while it runs."""

from typing import Annotated

from fastapi import Depends, Request

from neonblue_api.access import Tokens
from neonblue_api.analytics import Analytics
from neonblue_api.database import Database
from neonblue_api.known import Known
from neonblue_api.pseudonyms import Pseudonym
from neonblue_api.settings import Settings
from neonblue_api.user_input import UserReader


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def _analytics(request: Request) -> Analytics:
    analytics: Analytics = request.app.state.analytics
    return analytics


def _known(request: Request) -> Known:
    known: Known = request.app.state.known
    return known


def _tokens(request: Request) -> Tokens:
    tokens: Tokens = request.app.state.tokens
    return tokens


def _user_reader(request: Request) -> UserReader:
    reader: UserReader = request.app.state.user_reader
    return reader


def _pseudonym(request: Request) -> Pseudonym:
    pseudonym: Pseudonym = request.app.state.pseudonym
    return pseudonym


def _request_id(request: Request) -> str:
    request_id: str = request.state.request_id
    return request_id


SettingsDep = Annotated[Settings, Depends(_settings)]
DatabaseDep = Annotated[Database, Depends(_database)]
AnalyticsDep = Annotated[Analytics, Depends(_analytics)]
KnownDep = Annotated[Known, Depends(_known)]
TokensDep = Annotated[Tokens, Depends(_tokens)]
UserReaderDep = Annotated[UserReader, Depends(_user_reader)]
PseudonymDep = Annotated[Pseudonym, Depends(_pseudonym)]
RequestIdDep = Annotated[str, Depends(_request_id)]
