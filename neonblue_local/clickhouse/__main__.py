"""Command line of the embedded ClickHouse: settings, lock, logs, and the server's life under a process supervisor."""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

import uvicorn

from neonblue_local.clickhouse.app import Gateway
from neonblue_local.clickhouse.engine import Engine, PathInUse
from neonblue_local.clickhouse.errors import ClickHouseError

log = logging.getLogger("neonblue_local.clickhouse")

_GRACE_SECONDS = 5  # for requests in progress, after SIGTERM


def main() -> int:
    """Serve until SIGTERM or SIGINT. 0 after a clean stop, 2 for a start that cannot be."""
    options = _options()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    server_log = logging.getLogger("uvicorn.error")
    server_log.setLevel(logging.ERROR)
    # A result that fails after its first bytes ends so on purpose, and app.py has logged why.
    server_log.addFilter(lambda record: "without completing response" not in record.getMessage())
    user, password = (os.environ.pop(f"NEONBLUE_CLICKHOUSE_{name}", "") for name in ("USER", "PASSWORD"))
    if not (user and password):
        log.error("set NEONBLUE_CLICKHOUSE_USER and NEONBLUE_CLICKHOUSE_PASSWORD: nobody could log in without them")
        return 2
    if options.config_file is not None and not options.config_file.is_file():
        log.error("--config-file %s is no file", options.config_file)
        return 2
    try:
        engine = Engine(options.path.resolve(), options.config_file and options.config_file.resolve())
    except (PathInUse, ClickHouseError, OSError) as error:
        log.error("cannot open %s: %s", options.path, error)
        return 2
    log.info("ClickHouse %s (chDB) on %s, http://%s:%s", engine.version, engine.path, options.host, options.port)
    for stop in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises it once more after its own clean stop
        signal.signal(stop, lambda *_: None)
    uvicorn.run(
        Gateway(engine, user, password, options.max_body_bytes),
        host=options.host,
        port=options.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        backlog=512,
    )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m neonblue_local.clickhouse",
        description="The chDB engine behind ClickHouse's HTTP interface.",
        epilog="User and password: environment variables NEONBLUE_CLICKHOUSE_USER and NEONBLUE_CLICKHOUSE_PASSWORD.",
    )
    parser.add_argument("--path", type=Path, required=True, help="folder of the data; made if missing")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--config-file", type=Path, help="the engine's settings, as of a ClickHouse server (XML)")
    parser.add_argument(
        "--max-body-bytes", type=int, default=1 << 30, help="largest request body, unpacked (default: %(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
