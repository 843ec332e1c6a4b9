"""Setup from nothing: checks the machine, makes .venv, installs what the locks pin, fetches the jars.

Run as a file by whatever python3 there is (`make setup`), so it uses the standard library only, and no syntax newer
than Python 3.6: it must be able to say that the Python is too old.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(PROJECT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "neonblue-setup")
# For these every package of requirements.lock is there, built; of 3.14 on macOS all but watchdog, which is compiled.
PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
OLDEST_GLIBC = (2, 34)
NEEDED_GB = 3.0
ATTEMPTS = 3
# What decides whether setup has to run again.
INPUTS = ("bootstrap.lock", "requirements.lock", "pyproject.toml", "neonblue_local/jars/jars.lock")


class SetupError(Exception):
    """A reason why setup cannot go on; its text is all that the user sees."""


def main() -> None:
    # A second setup of the same folder waits for the first.
    with open(os.path.join(PROJECT, "bootstrap.lock"), "rb") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        python = fitting_python()
        if is_done(python):
            return
        check_machine()
        tell_of_compiling(python)
        began = time.time()
        make_venv(python)
        # Every file that is installed has to have a pinned hash.
        pip = [VENV_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        run("the installer uv", [*pip, "--only-binary=:all:", "-r", "bootstrap.lock"])
        uv = [VENV_PYTHON, "-m", "uv", "pip"]
        target = ["--python", VENV_PYTHON]
        run("the packages of requirements.lock", [*uv, "sync", *target, "--require-hashes", "requirements.lock"])
        editable = ["install", *target, "--quiet", "--no-deps", "--no-build-isolation", "-e", "."]
        run("the project itself", [*uv, *editable])
        run("the jars of Kafka and Debezium", [VENV_PYTHON, "-m", "neonblue_local.jars"], attempts=1)
        with open(STAMP, "w") as file:
            file.write(fingerprint(python))
        say(f"setup done in {time.time() - began:.0f} s")


def fitting_python() -> str:
    """This Python, or one on the PATH that fits better if this one is too old or too new."""
    if sys.version_info[:2] in PYTHONS:
        return sys.executable
    for major, minor in reversed(PYTHONS):
        found = shutil.which(f"python{major}.{minor}")
        if found:
            return found
    if sys.version_info[:2] > PYTHONS[-1]:
        return sys.executable
    raise SetupError(
        f"python3 is {platform.python_version()}; NeonBlue needs Python {PYTHONS[0][0]}.{PYTHONS[0][1]} or newer. "
        "Install one, or name it: make PYTHON=/path/to/python3.12 demo"
    )


def tell_of_compiling(python: str) -> None:
    if python == sys.executable and sys.version_info[:2] > PYTHONS[-1]:
        say(
            f"setup: Python {platform.python_version()} is newer than some packages know; they are compiled, which "
            "needs a C compiler and Python's headers. Without them name an older one: make PYTHON=/path/to/python3.14"
        )


def check_machine() -> None:
    """Everything that must be there beforehand; all that is missing is said at once."""
    missing = []
    if sys.platform not in ("linux", "darwin"):
        missing.append(f"operating system: {sys.platform}; NeonBlue's embedded stack runs on Linux and macOS")
    processors = ("arm64",) if sys.platform == "darwin" else ("x86_64", "aarch64")
    if platform.machine() not in processors:
        missing.append(f"processor: {platform.machine()}; the packages exist for {' and '.join(processors)} here")
    if sys.platform == "linux":
        library, version = platform.libc_ver()
        if library != "glibc":
            missing.append("C library: not glibc; the packages are built for it (Debian has it, Alpine has not)")
        elif tuple(int(number) for number in version.split(".")) < OLDEST_GLIBC:
            missing.append(f"glibc: {version}; the packages need 2.34, which Debian 12, Ubuntu 22.04 and RHEL 9 have")
    for tool, why in (("make", "it runs the project's commands"), ("git", "the project's sources come with it")):
        if not shutil.which(tool):
            missing.append(f"{tool}: not on the PATH; {why}: install it")
    free = shutil.disk_usage(PROJECT).free / 1e9
    if free < NEEDED_GB and not os.path.exists(STAMP):
        missing.append(f"disk: {free:.1f} GB free in {PROJECT}; setup needs {NEEDED_GB:.0f} GB: free some space")
    if missing:
        raise SetupError("this machine lacks:\n  " + "\n  ".join(missing))


def make_venv(python: str) -> None:
    if os.path.exists(VENV) and not answers(VENV_PYTHON):
        say(f"{VENV} does not run any more (was Python replaced?); making it anew")
        shutil.rmtree(VENV)
    if not answers(VENV_PYTHON, "import pip"):
        making = [python, "-m", "venv", "--clear", VENV]
        made = subprocess.run(making, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603
        if made.returncode:
            raise SetupError(
                f"{python} -m venv failed:\n{made.stdout.decode('utf-8', 'replace').strip()}\n"
                "On Debian and Ubuntu the module is a package of its own: apt install python3-venv"
            )


def answers(python: str, statement: str = "pass") -> bool:
    """Whether this Python is there, new enough, and can run the statement."""
    if not os.path.exists(python):
        return False
    code = f"import sys; {statement}; sys.exit(sys.version_info[:2] < {PYTHONS[0]!r})"
    quiet = subprocess.DEVNULL
    return subprocess.run([python, "-c", code], stdout=quiet, stderr=quiet).returncode == 0  # noqa: S603


def is_done(python: str) -> bool:
    if not os.path.exists(STAMP) or not os.path.exists(VENV_PYTHON):
        return False
    with open(STAMP) as file:
        return file.read() == fingerprint(python)


def fingerprint(python: str) -> str:
    digest = hashlib.sha256()
    for name in INPUTS:
        with open(os.path.join(PROJECT, name), "rb") as file:
            digest.update(file.read())
    # A virtual environment knows its own path: a folder that was moved needs a new one.
    digest.update(os.path.realpath(python).encode() + VENV.encode())
    return digest.hexdigest()


def run(what: str, command: "list[str]", attempts: int = ATTEMPTS) -> None:
    """Run one step; a step that downloads is repeated, as what it has already fetched is kept."""
    environment = dict(os.environ, UV_HTTP_TIMEOUT=os.environ.get("UV_HTTP_TIMEOUT", "300"))
    # A mirror that is configured for pip holds for uv, too.
    if "PIP_INDEX_URL" in environment and "UV_DEFAULT_INDEX" not in environment:
        environment["UV_DEFAULT_INDEX"] = environment["PIP_INDEX_URL"]
    # They would send the packages elsewhere.
    for name in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"):
        environment.pop(name, None)
    say(f"setup: {what}")
    for attempt in range(1, attempts + 1):
        code = subprocess.run(command, cwd=PROJECT, env=environment).returncode  # noqa: S603
        if code == 0:
            return
        if attempt < attempts:
            say(f"setup: {what}: attempt {attempt} of {attempts} failed, trying again")
            time.sleep(2**attempt)
    raise SetupError(
        f"{what} could not be installed (exit code {code}, reason above). What was fetched is kept: check the network "
        "(proxy: HTTPS_PROXY, certificate: SSL_CERT_FILE) and the disk, then run the same command again"
    )


def say(text: str) -> None:
    print(text)
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit(f"setup: {error}")
    except KeyboardInterrupt:
        sys.exit("setup: interrupted; run the same command again, it goes on where it stopped")
