"""The command line of a system's `__main__`: make a machine, show what it claims.

Knows no system: a stage is a machine with the claims that are lived through on it.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

CANNOT_RUN = 77

# A sentence, and what shows it: returns what was seen, raises when the sentence is not true.
Claim = tuple[str, Callable[[], str]]


class Refused(Exception):
    """A command inside ended with another code than expected; shows what it said."""


@dataclass(frozen=True)
class Stage:
    """What is shown, in this order; the first claim is that the machine boots."""

    claims: Sequence[Claim]
    print_logs: Callable[[], None]


def main(
    program: str,
    description: str | None,
    why_not: Callable[[], str | None],
    stage: Callable[[Path], AbstractContextManager[Stage]],
) -> int:
    """Exit code: 0 when every claim held, 1 when one did not, 77 when it cannot run here.

    `stage` is given the folder for the machine's files; leaving it takes the machine away.
    """
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument(
        "--work", type=Path, default=Path("/var/tmp"), help="where the machine's files go"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="WORD",
        help="leave out claims whose sentence holds this word, to look at the others sooner",
    )
    wanted = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"cannot run here: {reason}", file=sys.stderr)
        return CANNOT_RUN
    # So that a run that is told to end takes its machine away too.
    signal.signal(signal.SIGTERM, _end)
    began = time.monotonic()
    with stage(wanted.work) as on:
        boot, *others = on.claims
        claims = [boot, *(each for each in others if not _holds(each[0], wanted.without))]
        shown = _show(claims, on.print_logs)
    print(
        f"{shown} of {len(claims)} shown"
        f" in {time.monotonic() - began:.0f} s, {datetime.now(UTC):%Y-%m-%d}."
    )
    return 0 if shown == len(claims) else 1


def _end(number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # taking the machine away is not to be cut short
    sys.exit(128 + number)


def _holds(sentence: str, words: Sequence[str]) -> bool:
    return any(word in sentence for word in words)


def _show(claims: Sequence[Claim], print_logs: Callable[[], None]) -> int:
    """How many claims held, up to the first that did not: later ones build on it."""
    for shown, (sentence, show) in enumerate(claims):
        at = time.monotonic()
        try:
            seen = show().strip().splitlines() or [""]
        except (AssertionError, Refused, OSError, subprocess.SubprocessError) as error:
            said = (str(error) or traceback.format_exc(limit=-1)).strip()
            _print("FAILED", at, sentence, said.replace("\n", "\n    "))
            print_logs()
            return shown
        _print("shown", at, sentence, seen[0])
    return len(claims)


def _print(verdict: str, began: float, sentence: str, seen: str) -> None:
    took_s = time.monotonic() - began
    print(f"{verdict:6}  {took_s:6.1f} s  {sentence}: {seen}", flush=True)
