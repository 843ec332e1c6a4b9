"""Entry of every Python container: puts secrets from files into the settings, then becomes the command.

{{name}} in a NEONBLUE_ variable stands for the content of /run/secrets/name, so that neither the definition of the
container nor its command line holds a secret. {{name?}} may be empty.
"""

import os
import re
import sys
from pathlib import Path

_NAMED = re.compile(r"\{\{(\w+)(\??)\}\}")
_SECRETS = Path(os.environ.get("NEONBLUE_SECRETS", "/run/secrets"))


def _secret(variable: str, name: str, may_be_empty: bool) -> str:
    path = _SECRETS / name
    try:
        value = path.read_text().strip()
    except OSError as error:
        sys.exit(f"{variable}: {path} cannot be read ({error.strerror}); run docker/make-secrets.sh, then start again")
    if not value and not may_be_empty:
        sys.exit(f"{variable}: {path} is empty; delete it, run docker/make-secrets.sh, then start again")
    return value


for variable, value in list(os.environ.items()):
    if variable.startswith("NEONBLUE_"):
        os.environ[variable] = _NAMED.sub(lambda found, name=variable: _secret(name, found[1], bool(found[2])), value)
os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
