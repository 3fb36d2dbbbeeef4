"""Short output for people: alignment, colours on a terminal only. Knows nothing of daemons."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

_CODES = {"green": "32", "yellow": "33", "red": "31", "dim": "2", "bold": "1"}


def prepare() -> None:
    """Never fail on a character that the console cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def has_colours() -> bool:
    """Whether standard output is a terminal that shows colours and nobody asked for none."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    if sys.platform == "win32" and not os.environ.get("WT_SESSION"):
        return False
    return sys.stdout.isatty()


def paint(text: str, colour: str) -> str:
    return f"\033[{_CODES[colour]}m{text}\033[0m" if has_colours() else text


def say(text: str = "") -> None:
    print(text, flush=True)


def complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class ProgressLine:
    """One line that changes: rewritten on a terminal, printed anew elsewhere."""

    def __init__(self) -> None:
        self._shown: str | None = None
        self._is_open = False

    def show(self, text: str, detail: str = "") -> None:
        """`detail` changes often (a percentage) and is left out where lines pile up."""
        is_terminal = has_colours()
        line = text + detail if is_terminal else text
        if line == self._shown:
            return
        self._shown = line
        if is_terminal:
            print(f"\r\033[K{line}", end="", flush=True)
            self._is_open = True
        else:
            say(line)

    def close(self) -> None:
        if self._is_open:
            print("\r\033[K", end="", flush=True)
            self._is_open = False


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces between."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))

    return "\n".join(line(cells).rstrip() for cells in (head, *rows))


def ago(seconds: float) -> str:
    """90 -> "1 m 30 s"; the two largest units are enough for people."""
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    left = max(0, int(seconds))
    parts: list[str] = []
    for name, size in units:
        if left >= size or (name == "s" and not parts):
            parts.append(f"{left // size} {name}")
            left %= size
    return " ".join(parts[:2])


def size(n_bytes: float) -> str:
    """Bytes as MB, as people read memory."""
    return f"{n_bytes / 1e6:.0f} MB"
