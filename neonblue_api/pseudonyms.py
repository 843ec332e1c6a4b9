"""Pseudonyms instead of user ids, for NEONBLUE_PSEUDONYMOUS_USERS: made before anything is stored or logged.

A pseudonym is half of an HMAC-SHA256 under NEONBLUE_PRIVACY_KEY: the same id gives the same one on every process and
in every request, so that facts of a user find each other; without the key nobody can tell whose they are. Variants
are still chosen by the hash of the id itself, as an SDK chooses them that knows nothing of this.
"""

import hmac
from collections.abc import Callable

from neonblue_api.settings import Settings

Pseudonym = Callable[[str], str]
# Those of NEONBLUE's own canaries are nobody's.
_OURS = "neonblue-canary"


def pseudonyms(settings: Settings) -> Pseudonym:
    """What a user id is replaced by; itself where pseudonyms are not asked for."""
    if not settings.pseudonymous_users:
        return lambda user_id: user_id
    assert settings.privacy_key is not None  # the settings ask for both
    key = settings.privacy_key.get_secret_value().encode()

    def pseudonym(user_id: str) -> str:
        if user_id.startswith(_OURS):
            return user_id
        return hmac.digest(key, b"pseudonym " + user_id.encode(), "sha256")[:16].hex()

    return pseudonym


def is_ours(user_id: str) -> bool:
    """Whether it is a canary, which stands for no person."""
    return user_id.startswith(_OURS)
