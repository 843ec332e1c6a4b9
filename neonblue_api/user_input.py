"""Users as clients describe them. Attributes stay JSON text on the way, so that numbers are not rounded."""

from typing import TypeVar

import msgspec
from msgspec import Raw, Struct, UnsetType

from neonblue_api.fact_input import AROUND, UNDECODABLE, refusal_of
from neonblue_api.input_rules import FieldError, UserId, field_error
from neonblue_api.settings import Settings
from neonblue_api.strict_json import JsonRefused, check_object

T = TypeVar("T")


class UserIn(Struct, forbid_unknown_fields=True):
    """A user; attributes are whatever the application knows."""

    user_id: UserId
    attributes: Raw | UnsetType = msgspec.UNSET


class UserChange(Struct, forbid_unknown_fields=True):
    """Attributes to set; one that is null is taken away, one that is left out stays."""

    attributes: Raw


_user = msgspec.json.Decoder(UserIn)
_change = msgspec.json.Decoder(UserChange)


class UserReader:
    """Decodes bodies under the limits of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._max_depth = settings.max_depth
        self._max_size = settings.max_properties

    def user(self, body: bytes) -> tuple[str, str]:
        """user_id and attributes as JSON text. Raises MalformedJson, InvalidInput."""
        given = self._decode(_user, body)
        return given.user_id, self._attributes(given.attributes)

    def change(self, body: bytes) -> str:
        """Attributes as JSON text. Raises MalformedJson, InvalidInput."""
        return self._attributes(self._decode(_change, body).attributes)

    def _decode(self, decoder: msgspec.json.Decoder[T], body: bytes) -> T:
        try:
            check_object(body, max_depth=self._max_depth + 1, max_size=self._max_size + AROUND)
            return decoder.decode(body)
        except JsonRefused as refused:
            raise refusal_of(refused) from None
        except UNDECODABLE as error:
            raise refusal_of(field_error(error)) from None

    def _attributes(self, attributes: Raw | UnsetType) -> str:
        if isinstance(attributes, UnsetType):
            return "{}"
        try:
            check_object(bytes(attributes), max_depth=self._max_depth, max_size=self._max_size)
        except JsonRefused as refused:
            raise refusal_of(FieldError("attributes", str(refused))) from None
        return bytes(attributes).decode()
