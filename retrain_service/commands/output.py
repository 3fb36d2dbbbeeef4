"""What commands print: tables and progress on a terminal, plain lines elsewhere, or one JSON text.

Standard output is for the answer, standard error for everything else. Knows no model.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

STEP = 0.1
"""Where lines pile up, progress is said at each tenth and at each new stage."""


class Meter(Protocol):
    """Shows how far something is."""

    def show(self, stage: str, fraction: float | None) -> None: ...


class Output:
    """The answer of one command. `as_json`: one document at the end, nothing before it."""

    def __init__(self, *, as_json: bool) -> None:
        _never_fail_on_a_character()
        self.as_json = as_json
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._errors = Console(file=sys.stderr, highlight=False, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        return self._console.is_terminal and not self.as_json

    def say(self, text: str = "") -> None:
        """A line for people."""
        if not self.as_json:
            self._console.print(text, markup=False)

    def complain(self, text: str) -> None:
        """A line on standard error."""
        self._errors.print(text, markup=False)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Columns; what is None is a dash."""
        if self.as_json:
            return
        cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
        if self.is_terminal:
            table = Table(*head, box=box.SIMPLE_HEAD, pad_edge=False)
            for row in cells:
                table.add_row(*[escape(cell) for cell in row])
            self._console.print(table, soft_wrap=False)
        else:
            for line in plain_table(head, cells):
                self._console.print(line, markup=False)

    def fields(self, record: Mapping[str, object]) -> None:
        """One value a line; what is None or empty is left out."""
        shown = {key: value for key, value in record.items() if value not in (None, "", {}, [])}
        width = max(map(len, shown), default=0)
        for key, value in shown.items():
            self.say(f"{key.ljust(width)}  {_in_a_line(value)}")

    def document(self, value: Mapping[str, Any]) -> None:
        """The whole answer, when JSON was asked for."""
        if self.as_json:
            content = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
            sys.stdout.flush()
            sys.stdout.buffer.write(content)  # UTF-8, whatever the console's encoding is
            sys.stdout.buffer.flush()

    @contextmanager
    def meter(self) -> Iterator[Meter]:
        """Progress: a bar on a terminal, else lines; on standard error when JSON is wanted."""
        console = self._errors if self.as_json else self._console
        if not console.is_terminal:
            yield _Lines(console)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            yield _Bar(progress)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage: str | None = None
        self._next = 0.0

    def show(self, stage: str, fraction: float | None) -> None:
        reached = fraction or 0.0
        if stage == self._stage and reached < self._next:
            return
        self._stage, self._next = stage, reached + STEP
        share = "" if fraction is None else f" {reached:.0%}"
        self._console.print(f"{stage}{share}", markup=False)


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def show(self, stage: str, fraction: float | None) -> None:
        total = None if fraction is None else 1.0
        self._progress.update(
            self._task, description=escape(stage), total=total, completed=fraction or 0.0
        )


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell, two spaces between."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *rows)
    ]


def _in_a_line(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str | int):
        return str(value)
    return msgspec.json.encode(value).decode()


def _never_fail_on_a_character() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
