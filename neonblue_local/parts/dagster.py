"""Dagster in three processes: the code server loads the definitions once; web server and daemon both ask it."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from neonblue_local import http
from neonblue_local.home import HOST, PROJECT, Home
from neonblue_local.parts.base import BEHIND_THE_STREAM, NotReady, Part

LOCATION = "neonblue"

_HEALTH = """
query {
  workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError {
    __typename ... on PythonError { message } } } } }
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy lastHeartbeatTime } } }
}
"""
_UNFINISHED = """
query ($before: Float!) {
  runsOrError(filter: {statuses: [STARTING, STARTED, CANCELING], updatedBefore: $before}) {
    ... on Runs { results { runId } } }
}
"""
_MARK = """
mutation ($runs: [String!]!) {
  terminateRuns(runIds: $runs, terminatePolicy: MARK_AS_CANCELED_IMMEDIATELY) { __typename }
}
"""


def _workspace(home: Home) -> str:
    return str(home.etc / "workspace.yaml")


def make_dagster_home(home: Home) -> None:
    """DAGSTER_HOME with the project's dagster.yaml: `dagster dev` needs it, too, beside a stack without Dagster."""
    folder = home.data("dagster")
    folder.mkdir(mode=0o700, exist_ok=True)
    link = folder / "dagster.yaml"
    if not link.is_symlink() or link.readlink() != PROJECT / "dagster.yaml":
        link.unlink(missing_ok=True)
        link.symlink_to(PROJECT / "dagster.yaml")


def _prepare(home: Home) -> None:
    """A workspace that names the running code server."""
    make_dagster_home(home)
    (home.etc / "workspace.yaml").write_text(
        "load_from:\n"
        "  - grpc_server:\n"
        f"      host: {HOST}\n"
        f"      port: {home.port('dagster-code')}\n"
        f"      location_name: {LOCATION}\n"
    )


def graphql(settings: Mapping[str, str], query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask Dagster's web server; NotReady if it does not answer."""
    body = {"query": query, "variables": variables or {}}
    try:
        status, text = http.post_json(f"{settings['NEONBLUE_DAGSTER_URL']}/graphql", body, timeout=10)
    except OSError as error:
        raise NotReady(f"POST /graphql: {error}") from error
    answer = json.loads(text) if status == 200 else {}
    if status != 200 or "errors" in answer:
        raise NotReady(f"POST /graphql: {status} {text[:300]}")
    data: dict[str, Any] = answer["data"]
    return data


class DagsterCode(Part):
    name = "dagster-code"
    what = "Dagster: definitions of the pipeline"
    ports = ("dagster-code",)
    # Each run is a process that this one started.
    stop_group = True
    needs_setup = True
    niceness = BEHIND_THE_STREAM

    def command(self, home: Home) -> list[str]:
        return [
            *(sys.executable, "-m", "dagster", "api", "grpc"),
            *("--module-name", "neonblue_pipeline.definitions", "--location-name", LOCATION),
            *("--host", HOST, "--port", str(home.port(self.name))),
        ]

    def prepare(self, home: Home, settings: Mapping[str, str]) -> None:
        _prepare(home)

    def probe(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        import grpc  # type: ignore[import-untyped]
        from grpc_health.v1.health_pb2 import HealthCheckRequest  # type: ignore[import-untyped]
        from grpc_health.v1.health_pb2_grpc import HealthStub  # type: ignore[import-untyped]

        with grpc.insecure_channel(home.address(self.name)) as channel:
            try:
                HealthStub(channel).Check(HealthCheckRequest(service="DagsterApi"), timeout=3)
            except grpc.RpcError as error:
                raise NotReady(f"gRPC health: {error.details()}") from error


class DagsterWebserver(Part):
    name = "dagster-webserver"
    what = "Dagster: assets, runs, schedules in the browser"
    ports = ("dagster-webserver",)
    after = ("postgres", "dagster-code")
    needs_setup = True
    niceness = BEHIND_THE_STREAM

    def command(self, home: Home) -> list[str]:
        return [
            *(sys.executable, "-m", "dagster_webserver", "--workspace", _workspace(home)),
            *("--host", HOST, "--port", str(home.port(self.name))),
            *("--uvicorn-log-level", "warning"),
        ]

    def prepare(self, home: Home, settings: Mapping[str, str]) -> None:
        _prepare(home)

    def probe(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        entries = graphql(settings, _HEALTH)["workspaceOrError"]["locationEntries"]
        for entry in entries:
            loaded = entry["locationOrLoadError"] or {}
            if entry["loadStatus"] != "LOADED" or loaded.get("__typename") != "RepositoryLocation":
                raise NotReady(
                    f"code location {entry['name']}: {entry['loadStatus']} {loaded.get('message', '')[:300]}"
                )
        if not entries:
            raise NotReady("no code location is loaded yet")

    def answered(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        """Runs whose process ended with the last stop would count as running, and hold their place in the queue."""
        found = graphql(settings, _UNFINISHED, {"before": since})["runsOrError"].get("results", [])
        if found:
            graphql(settings, _MARK, {"runs": [run["runId"] for run in found]})


class DagsterDaemon(Part):
    name = "dagster-daemon"
    what = "Dagster: schedules, sensors, queue of runs"
    ports = ()
    after = ("postgres", "dagster-code")
    needs_setup = True
    niceness = BEHIND_THE_STREAM

    def command(self, home: Home) -> list[str]:
        return [sys.executable, "-m", "dagster._daemon", "run", "--workspace", _workspace(home)]

    def prepare(self, home: Home, settings: Mapping[str, str]) -> None:
        _prepare(home)

    def probe(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        for status in graphql(settings, _HEALTH)["instance"]["daemonHealth"]["allDaemonStatuses"]:
            # A heartbeat outlives the process that sent it by minutes.
            if status["required"] and (status["lastHeartbeatTime"] or 0) < since:
                raise NotReady(f"{status['daemonType']}: no heartbeat since its start")
            if status["required"] and not status["healthy"]:
                raise NotReady(f"{status['daemonType']}: not healthy; its errors are in its log")

    def address(self, home: Home) -> str:
        return ""
