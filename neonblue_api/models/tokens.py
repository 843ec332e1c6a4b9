"""Tokens of the API; the secret itself is in one reply only."""

from typing import Annotated, Literal

from pydantic import Field

from neonblue_api.models.fields import Input, Output, UtcTime, example

Scope = Literal["ingest", "read", "manage", "audit"]


class TokenIn(Input):
    model_config = example(name="checkout service", scopes=["ingest"])

    name: Annotated[str, Field(min_length=1, max_length=128, examples=["checkout service"])]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4, examples=[["ingest"]])]
    expires_at: UtcTime | None = None


class Rotation(Input):
    model_config = example(overlap_s=86_400)

    overlap_s: Annotated[float, Field(ge=0, le=90 * 86_400, examples=[86_400])] = 86_400
    expires_at: UtcTime | None = None


class Token(Output):
    """replaces: the token whose place it took, which stopped working at the end of the overlap."""

    token_id: int
    replaces: int | None
    name: str
    scopes: list[Scope]
    created_at: UtcTime
    expires_at: UtcTime | None
    last_used_at: UtcTime | None
    revoked_at: UtcTime | None


class NewToken(Token):
    """token is shown here and never again."""

    token: str
