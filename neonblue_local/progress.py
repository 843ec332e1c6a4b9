"""What a person sees while something takes long: a live display on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.progress
from rich.console import Console


class Progress:
    """Reports the start and stop of parts and the progress of counted work. Safe to call from several threads."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or Console(stderr=True, quiet=quiet)
        self._lock = threading.Lock()
        self._waiting: dict[str, float] = {}
        self._display: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def note(self, text: str) -> None:
        self._print(text)

    def starting(self, part: str) -> None:
        with self._lock:
            self._waiting[part] = time.monotonic()
        self._describe()

    def ready(self, part: str, seconds: float, address: str) -> None:
        with self._lock:
            self._waiting.pop(part, None)
        self._print(f"{part:<18} ready in {seconds:4.1f} s   {address}")
        self._advance()
        self._describe()

    def stopped(self, part: str) -> None:
        self._print(f"{part:<18} stopped")

    @contextmanager
    def parts(self, names: list[str]) -> Iterator[None]:
        """While parts start: on a terminal, a line with those that are still awaited."""
        with self._shown("starting", len(names)):
            yield

    @contextmanager
    def count(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """While `total` things are done one by one; call what is given after each."""
        if not self.console.is_terminal:
            self._print(f"{what}: {total}")
        with self._shown(what, total):
            yield self._advance

    @contextmanager
    def _shown(self, what: str, total: int) -> Iterator[None]:
        if not self.console.is_terminal or self._display is not None:
            yield
            return
        columns = (
            rich.progress.SpinnerColumn(),
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeElapsedColumn(),
        )
        with rich.progress.Progress(*columns, console=self.console, transient=True) as self._display:
            self._task = self._display.add_task(what, total=total)
            yield
        self._display = self._task = None

    def _advance(self) -> None:
        if self._display and self._task is not None:
            self._display.advance(self._task)

    def _describe(self) -> None:
        if self._display and self._task is not None:
            with self._lock:
                names = ", ".join(sorted(self._waiting))
            self._display.update(self._task, description=f"waiting for {names}" if names else "starting")

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
