"""docker/compose.yaml as the tests read it: services with variables filled in, health checks, what is mounted."""

import re
from pathlib import Path
from typing import Any

import yaml

from neonblue_local.home import PROJECT

DOCKER = PROJECT / "docker"
COMPOSE = DOCKER / "compose.yaml"
# $$ is a dollar sign.
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::-([^}]*))?\})")


def environment_file() -> dict[str, str]:
    """What docker/example.env sets."""
    lines = (DOCKER / "example.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def variables() -> dict[str, str]:
    """Every variable that compose.yaml names → its default, empty if it has none."""
    return {name: default for name, default in _VARIABLE.findall(COMPOSE.read_text()) if name}


def compose() -> dict[str, Any]:
    """The file with the variables of example.env, as `docker compose` reads it."""
    known = environment_file()

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else known.get(found[1]) or found[2] or ""

    return yaml.safe_load(_VARIABLE.sub(value, COMPOSE.read_text()))


def services() -> dict[str, dict[str, Any]]:
    return compose()["services"]


def mounts(service: dict[str, Any]) -> list[tuple[Path, str]]:
    """(file or folder of the project, place in the container) of what a service mounts from the project."""
    found = []
    for volume in service.get("volumes", ()):
        source, target = volume.split(":")[:2]
        if source.startswith("."):
            found.append(((DOCKER / source).resolve(), target))
    return found


def check(service: dict[str, Any]) -> list[str]:
    """The program and arguments of a health check; a shell's line is one argument of sh."""
    kind, *words = service["healthcheck"]["test"]
    return words if kind == "CMD" else ["sh", "-c", words[0]]
