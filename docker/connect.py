"""Kafka Connect in a container: writes the worker's configuration for this container, then becomes the JVM."""

import os
import tempfile
from pathlib import Path

from neonblue_local import java
from neonblue_local.jars import lock
from neonblue_local.parts.connect import MAIN_CLASS, worker_properties

PORT = 8083
HEAP_MB = 700

folder = Path(tempfile.gettempdir())
configuration = folder / "connect.properties"
configuration.write_text(worker_properties(os.environ, os.environ["HOSTNAME"], PORT))
program = str(java.executable())
options = java.common_options(HEAP_MB, folder)
os.execv(program, [program, *options, "-cp", lock.class_path(java.JARS), MAIN_CLASS, str(configuration)])  # noqa: S606
