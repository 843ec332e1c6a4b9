"""Requests of commands to the API: its address and token as in the environment or the stack, its errors as ours."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from neonblue_local import environment
from neonblue_local.errors import LocalError
from neonblue_local.home import Home


class ApiRefused(LocalError):
    """The API refused, or is not there."""


def client(url: str, token: str, timeout: float) -> httpx.Client:
    """No proxy is used. The API's certificate is checked by the system's authorities, or those of SSL_CERT_FILE."""
    authorities = ssl.create_default_context()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, headers=headers, verify=authorities, timeout=timeout, trust_env=False)


def request(method: str, path: str, timeout: float = 30, **arguments: Any) -> httpx.Response:
    """The reply, which may say nothing for `timeout` seconds. Raises ApiRefused."""
    with _opened(timeout) as api:
        return _not_refused(api.request(method, path, **arguments))


def pieces(method: str, path: str, timeout: float = 30, **arguments: Any) -> Iterator[bytes]:
    """The body of a reply that may be larger than memory. Raises ApiRefused, also where it breaks off."""
    with _opened(timeout) as api, api.stream(method, path, **arguments) as reply:
        if reply.is_error:
            reply.read()
        yield from _not_refused(reply).iter_bytes()


@contextmanager
def _opened(timeout: float) -> Iterator[httpx.Client]:
    home = Home.from_environment()
    url, token = (environment.setting(home, name) for name in ("NEONBLUE_API_URL", "NEONBLUE_API_TOKEN"))
    try:
        with client(url, token, timeout) as opened:
            yield opened
    except httpx.TransportError as error:
        raise ApiRefused(f"the API at {url} does not answer: {error}; `neonblue status` shows why") from error


def _not_refused(reply: httpx.Response) -> httpx.Response:
    if reply.is_error:
        problem = reply.json()
        raise ApiRefused(f"{problem['detail']}; {problem['way_out']}")
    return reply


def ask(method: str, path: str, **arguments: Any) -> Any:
    """The reply's JSON; None where it has no body. Raises ApiRefused."""
    reply = request(method, path, **arguments)
    return reply.json() if reply.content else None


def pages(path: str, wanted: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """The pages of a list, for parameters that are not None. Raises ApiRefused."""
    parameters = {name: value for name, value in wanted.items() if value is not None}
    while True:
        page = ask("GET", path, params=parameters)
        yield page["items"]
        if page["next_cursor"] is None:
            return
        parameters["cursor"] = page["next_cursor"]
