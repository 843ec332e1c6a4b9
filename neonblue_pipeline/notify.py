"""Messages to the outside: webhook, mail, chat, by the URLs of NEONBLUE_ALARM_URLS. Knows no alarms.

Each URL names a service and its secrets, in the notation of apprise (https://github.com/caronc/apprise/wiki):
`json://host/path` a webhook, `mailtos://user:password@host?to=someone@host` mail, `slack://…`, `ntfys://…` and so on.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from neonblue_pipeline.errors import NotifyError
from neonblue_pipeline.settings import Settings

_APART = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+]*://)")


@dataclass(frozen=True)
class Destination:
    """One URL. Its secrets are kept out of every text that is made of it."""

    url: str

    @property
    def fingerprint(self) -> str:
        """Tells destinations apart without telling the URL."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.url.split('://', 1)[0]}:// ({self.fingerprint[:6]})"

    __repr__ = __str__

    def send(self, title: str, body: str, *, healed: bool = False) -> None:
        """Returns when the service took the message. Raises NotifyError."""
        # Imported here: it costs half a second, and most looks have nothing to tell.
        import apprise

        service = apprise.Apprise()
        if not service.add(self.url):
            raise NotifyError(
                f"NEONBLUE_ALARM_URLS: no service is known by the URL of {self}; see "
                " https://github.com/caronc/apprise/wiki for the notation"
            )
        kind = apprise.NotifyType.SUCCESS if healed else apprise.NotifyType.WARNING
        if not service.notify(body=body, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT):
            raise NotifyError(f"the alarm service {self} did not take the message; it is sent again at the next look")


def destinations(settings: Settings) -> Sequence[Destination]:
    """The destinations of NEONBLUE_ALARM_URLS, which are separated by spaces, commas or lines."""
    return [Destination(url) for url in _APART.split(settings.alarm_urls.strip()) if url]
