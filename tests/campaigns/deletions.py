"""Files and folders of a home are deleted while both daemons run.

Within HEALED_WITHIN_S either all works again by itself, or health names what is missing and a
person has to act: here, put back what was deleted.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from pathlib import Path

from tests.campaigns.both_daemons import GOES_ON_WITHIN_S, BothDaemons
from tests.campaigns.invariants import Facts
from tests.campaigns.tally import Tally

CAMPAIGN = "deleted while running"
HEALED_WITHIN_S = 30.0
DELETED = (
    *("reports", "requests", "keys", "keys/signing.key", "keys/signing.pub", "keys/feed.key"),
    *("models/m/reload_signal.json", "models/m/versions", "models/m", "models", "state"),
    *("run_log.sqlite", "buffer", "feed.sqlite", "work", "staging", "pids"),
)
"""In a home; what this home does not have is not tried."""


def deletions(folder: Path, rounds: int, seed: int, tally: Tally) -> None:
    """So many of DELETED, by chance; every one before any comes again."""
    dice = random.Random(seed)
    order: list[str] = []
    while len(order) < rounds:
        order += dice.sample(DELETED, len(DELETED))
    for number, place in enumerate(order[:rounds]):
        # A home of its own: what one deletion leaves behind is not to explain the next.
        _one(folder / str(number), place, tally)
        shutil.rmtree(folder / str(number) / "home", ignore_errors=True)


def _one(folder: Path, place: str, tally: Tally) -> None:
    both = BothDaemons(folder)
    with both.running():
        target, kept = both.home / place, folder / "kept"
        if not target.exists():
            tally.add(CAMPAIGN, place, "not reached")
            return
        told_before = set(both.health().get("problems", []))
        _copy(target, kept)
        _delete(target)
        if place == "feed.sqlite":
            both.acknowledged.clear()  # what it held is gone
        at, told = time.monotonic(), ""
        both.add_rows()
        while not told and time.monotonic() < at + HEALED_WITHIN_S:
            if both.is_well():
                break
            new = [one for one in both.health().get("problems", []) if one not in told_before]
            # That a model waits, or that a worker's report is late, is no name of the cause.
            told = next((one for one in new if _names(one, place)), "")
            time.sleep(0.3)
        outcome, why = "survived", ""
        if not both.is_well():
            outcome, why = ("needs a person", told) if told else ("broken", str(both.health()))
            outcome, why = _after_a_while(both, outcome, why)
            if outcome != "survived":
                _put_back(kept, target)
                both.start_what_has_ended()
                if not _is_well_within(both, GOES_ON_WITHIN_S):
                    outcome, why = "broken", f"not well after it was put back: {both.health()}"
        ended = both.start_what_has_ended()
        both.before = Facts()  # the deleted is not to be there
        wrong = [] if ended else both.stop()
        if place in ("run_log.sqlite", "models", "models/m", "models/m/versions"):
            wrong = [one for one in wrong if "no promoted run made" not in one]
        if ended or wrong:
            outcome, why = "broken", f"ended: {ended}; {wrong}"
        tally.add(CAMPAIGN, place, outcome, f"{place}: {why}")


def _after_a_while(both: BothDaemons, outcome: str, why: str) -> tuple[str, str]:
    """Named at once, and healed by itself within the same time, is healed."""
    if outcome == "needs a person" and _is_well_within(both, HEALED_WITHIN_S):
        return "survived", why
    return outcome, why


def _is_well_within(both: BothDaemons, seconds: float) -> bool:
    with contextlib.suppress(AssertionError):
        both.wait_until_well(seconds)
        return True
    return False


def _names(problem: str, place: str) -> bool:
    """Whether a person who reads this knows where to look."""
    words = {place, Path(place).name, Path(place).parts[0]}
    return any(word in problem for word in words) or ("key" in problem and "keys" in place)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def _delete(path: Path) -> None:
    if not path.is_dir():
        for one in path.parent.glob(f"{path.name}*"):  # SQLite's two files beside it
            one.unlink()
        return
    while path.exists():  # somebody may be writing into it
        aside = path.with_name(f".{path.name}.deleted")
        path.rename(aside)
        shutil.rmtree(aside)


def _put_back(source: Path, target: Path) -> None:
    if not source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
        return
    shutil.copytree(source, target, dirs_exist_ok=True)
