"""`python -m neonblue_local.jars`: check every jar byte by byte and fetch those that are missing or damaged."""

import sys

from neonblue_local.errors import DownloadError
from neonblue_local.jars import fetch, lock
from neonblue_local.java import JARS
from neonblue_local.progress import Progress


def main() -> int:
    jars = lock.damaged(JARS, lock.pinned())
    if not jars:
        return 0
    progress = Progress()
    try:
        with progress.count("jars of Kafka and Debezium", len(jars)) as advance:
            fetch.fetch(JARS, jars, on_done=lambda jar: advance())
    except DownloadError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
