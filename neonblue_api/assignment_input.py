"""Assignments as clients send them: decoded and checked, ready for accept_assignments. Knows no server."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from neonblue_api.fact_input import AROUND, UNDECODABLE, Rejected, items_of, refusal_of, rejected
from neonblue_api.input_rules import ExperimentKey, FieldError, TimeRule, Timestamp, UserId, field_error
from neonblue_api.pseudonyms import Pseudonym
from neonblue_api.settings import Settings
from neonblue_api.strict_json import JsonRefused, check_object

VariantKey = Annotated[str, Meta(pattern="^[A-Za-z0-9._-]{1,128}$", examples=["gate_40"])]
Source = Annotated[str, Meta(min_length=1, max_length=128, description="Where the assignment was made.")]


class AssignmentIn(Struct, forbid_unknown_fields=True):
    """One user's assignment; without variant_key the server assigns by hash, with it one made elsewhere is recorded."""

    user_id: UserId
    variant_key: VariantKey | None = None
    assigned_at: Timestamp | None = None
    source: Source | None = None
    attributes: Raw | UnsetType = UNSET


class BatchAssignmentIn(Struct, forbid_unknown_fields=True):
    """An assignment made elsewhere."""

    experiment: ExperimentKey
    user_id: UserId
    variant_key: VariantKey
    assigned_at: Timestamp | None = None
    source: Source | None = None
    attributes: Raw | UnsetType = UNSET


class AssignmentRow(Struct, omit_defaults=True):
    """What accept_assignments takes (sql/postgres/080)."""

    experiment: str
    user_id: str
    variant_key: str | None
    assigned_at: str | None
    source: str
    attributes: Raw
    request_id: str | None
    revision: int | None = None  # of the definition that the variant was chosen by


_one = msgspec.json.Decoder(AssignmentIn)
_of_batch = msgspec.json.Decoder(BatchAssignmentIn)
_NOTHING = Raw(b"{}")


class AssignmentReader:
    """Decodes bodies under the limits of the settings."""

    def __init__(self, settings: Settings, pseudonym: Pseudonym) -> None:
        self._max_batch = settings.max_batch
        self._max_depth = settings.max_depth
        self._max_attributes = settings.max_properties
        self._pseudonym = pseudonym
        self._clock = TimeRule(settings)

    def one(self, experiment: str, body: bytes, request_id: str | None) -> AssignmentRow:
        """The user as sent: the variant is chosen by that id. Raises MalformedJson or InvalidInput."""
        try:
            return self._row(_one, body, request_id, experiment)
        except (JsonRefused, FieldError) as wrong:
            raise refusal_of(wrong) from None

    def batch(self, body: bytes, request_id: str | None) -> tuple[list[AssignmentRow], list[int], list[Rejected]]:
        """Rows, their positions in the batch, and what was rejected. Raises MalformedJson or InvalidInput."""
        items = items_of(body, "assignments", max_batch=self._max_batch, max_depth=self._max_depth)
        rows, positions, refused = [], [], []
        for index, item in enumerate(items):
            try:
                row = self._row(_of_batch, item, request_id)
                row.user_id = self._pseudonym(row.user_id)
                rows.append(row)
                positions.append(index)
            except (JsonRefused, FieldError) as wrong:
                refused.append(rejected(index, wrong, "the assignment"))
        return rows, positions, refused

    def _row(
        self, decoder: msgspec.json.Decoder[Any], item: bytes, request_id: str | None, experiment: str | None = None
    ) -> AssignmentRow:
        # The document as a whole is strict, whatever its fields; the field rules come after.
        check_object(item, max_depth=self._max_depth + 1, max_size=self._max_attributes + AROUND)
        try:
            given = decoder.decode(item)
        except UNDECODABLE as error:
            raise field_error(error) from None
        attributes = _NOTHING if given.attributes is UNSET else given.attributes
        if attributes is not _NOTHING:
            try:
                check_object(bytes(attributes), max_depth=self._max_depth, max_size=self._max_attributes)
            except JsonRefused as refused:
                raise FieldError("attributes", str(refused)) from None
        at = given.assigned_at
        return AssignmentRow(
            experiment if experiment is not None else given.experiment,
            given.user_id,
            given.variant_key,
            None if at is None else self._clock.utc(at, "assigned_at", self._clock.bounds()),
            given.source or "api",
            attributes,
            request_id,
        )
