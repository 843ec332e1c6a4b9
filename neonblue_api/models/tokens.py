"""Tokens of the API; the secret itself is in one reply only."""

from typing import Annotated, Literal

from pydantic import Field

from neonblue_api.models.fields import Input, Output, UtcTime, example

Scope = Literal["ingest", "read", "manage"]


class TokenIn(Input):
    model_config = example(name="checkout service", scopes=["ingest"])

    name: Annotated[str, Field(min_length=1, max_length=128, examples=["checkout service"])]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3, examples=[["ingest"]])]
    expires_at: UtcTime | None = None


class Token(Output):
    token_id: int
    name: str
    scopes: list[Scope]
    created_at: UtcTime
    expires_at: UtcTime | None
    last_used_at: UtcTime | None
    revoked_at: UtcTime | None


class NewToken(Token):
    """token is shown here and never again."""

    token: str
