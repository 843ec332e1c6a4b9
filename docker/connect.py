"""Kafka Connect in a container: writes the worker's configuration for this container, then becomes the JVM."""

import os
import tempfile
from pathlib import Path

from neonblue_local import java
from neonblue_local.jars import lock
from neonblue_local.parts.connect import worker_properties

PORT = 8083
HEAP = "-Xmx700m"

configuration = Path(tempfile.gettempdir()) / "connect.properties"
configuration.write_text(worker_properties(os.environ, os.environ["HOSTNAME"], PORT))
arguments = [HEAP, "-cp", lock.class_path(java.JARS), "org.apache.kafka.connect.cli.ConnectDistributed"]
os.execv(java.executable(), [str(java.executable()), *arguments, str(configuration)])  # noqa: S606
