"""A request to a server of this stack with the standard library: a start asks often, and a client costs more than that.

No proxy is used: the servers listen on loopback.
"""

import base64
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def request(
    url: str, *, body: bytes | None = None, headers: dict[str, str] | None = None, timeout: float = 3
) -> tuple[int, str]:
    """Status and text of the answer; with a body it is a POST. User and password may stand in the URL.

    Raises OSError when there is no answer.
    """
    parts = urlsplit(url)
    sent = dict(headers or {})
    if parts.username:
        credentials = f"{parts.username}:{parts.password or ''}"
        sent["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path or "/").geturl()
    try:
        asked = urllib.request.Request(address, data=body, headers=sent)  # noqa: S310
        with _opener.open(asked, timeout=timeout) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


def post_json(url: str, value: Any, *, timeout: float = 3) -> tuple[int, str]:
    return request(url, body=json.dumps(value).encode(), headers={"Content-Type": "application/json"}, timeout=timeout)
