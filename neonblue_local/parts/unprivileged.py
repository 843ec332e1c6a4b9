"""Running PostgreSQL when the user is root, which PostgreSQL refuses.

Its programs then run as `nobody` through setpriv. A state folder below one that `nobody` may not enter (/root, or
what `mktemp -d` makes: mode 0700) stays closed to everyone else: the programs get one capability instead, to search and
read folders (CAP_DAC_READ_SEARCH; where a container withholds it, CAP_DAC_OVERRIDE). They write to their own data only.
"""

import os
import pwd
import shutil
import sys
from pathlib import Path

from neonblue_local.errors import MissingTool, SettingsError

_READ_SEARCH = ("dac_read_search", 2)
_OVERRIDE = ("dac_override", 1)


def is_root() -> bool:
    return os.geteuid() == 0


def prefix(*paths: Path) -> list[str]:
    """What to put before a command line so that it runs unprivileged and reaches these paths; empty for a user."""
    if not is_root():
        return []
    if sys.platform != "linux":
        raise SettingsError("PostgreSQL does not run as root; start the stack as an ordinary user")
    setpriv = shutil.which("setpriv")
    if not setpriv:
        raise MissingTool(
            "setpriv is not on the PATH: PostgreSQL does not run as root, and setpriv (package util-linux) gives up "
            "root's rights for it; install util-linux, or start the stack as an ordinary user"
        )
    account = _account()
    rights = [] if all(_open_to_all(path) for path in paths) else [_capability()]
    sets = ",".join(["-all", *(f"+{right}" for right in rights)])
    return [
        setpriv,
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        f"--inh-caps={sets}",
        f"--ambient-caps={sets}",
        f"--bounding-set={sets}",
        # access(2) leaves capabilities out of account unless this is set, and PostgreSQL asks it for its own programs.
        *(["--securebits=+no_setuid_fixup"] if rights else []),
        "--no-new-privs",
    ]


def give(path: Path) -> None:
    """Make the unprivileged account the owner of a file or folder (root only; otherwise nothing to do)."""
    if is_root():
        account = _account()
        os.chown(path, account.pw_uid, account.pw_gid)


def _account() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def _open_to_all(path: Path) -> bool:
    """Whether every folder above lets everyone pass."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _capability() -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    bounding = int(next(line for line in lines if line.startswith("CapBnd:")).split()[1], 16)
    for name, bit in (_READ_SEARCH, _OVERRIDE):
        if bounding & 1 << bit:
            return name
    raise SettingsError(
        "PostgreSQL runs as the user nobody, who may not enter the folder of this project, and this container grants "
        "no capability that would let it; put the project into a folder that everyone may enter (chmod o+x), or start "
        "the stack as an ordinary user"
    )
