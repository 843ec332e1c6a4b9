"""Exports and erasures of a person. Replies know an erasure by its number, never the person."""

from typing import Annotated

from pydantic import Field

from neonblue_api.models.fields import Input, Output, UtcTime, example


class PersonIn(Input):
    """Who it is about: in the body, since addresses are written into the logs of proxies."""

    model_config = example(user_id="u1")

    user_id: Annotated[str, Field(min_length=1, max_length=256, examples=["u1"])]


class ErasureStep(Output):
    """One of facts, outbox, arrived, topic, traces, ledger, analytics, forgotten, files, log: see docs/privacy.md."""

    step: str
    done_at: UtcTime


class Erasure(Output):
    """finished_at is null while any store may still hold a byte of the person."""

    erasure_id: int
    requested_at: UtcTime
    requested_by: str
    finished_at: UtcTime | None
    steps: list[ErasureStep]
