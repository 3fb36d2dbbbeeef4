"""The disk with the home fills up, with bytes or with files, while both daemons run under load.

Needs the right to mount: the home is a small file system in memory. While it is full predictions
go on and health names it within NAMED_WITHIN_S; once there is room all goes on by itself.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.campaigns.both_daemons import BothDaemons, PredictionLoad
from tests.campaigns.tally import Tally

NAMED_WITHIN_S = 30.0
FULL_S = (2.0, 45.0)
KINDS = ("bytes", "files")
SIZE = "256m"
N_FILES = 2_000
_WORDS = ("no space", "full", "cannot be written")


def full_disk(folder: Path, rounds: int, seed: int, tally: Tally) -> None:
    dice = random.Random(seed)
    with _small_disk(folder) as home:
        both = BothDaemons(folder)
        with both.running():
            for number in range(rounds):
                kind = KINDS[number % len(KINDS)]
                wrong = _round(both, home, kind, dice)
                tally.add("disk full", kind, "broken" if wrong else "survived", "; ".join(wrong))
            wrong = both.stop()
    outcome = "broken" if wrong else "survived"
    tally.add("disk full", "all invariants after the end", outcome, str(wrong))


def _round(both: BothDaemons, home: Path, kind: str, dice: random.Random) -> list[str]:
    """What was wrong. Each begins and ends with both daemons well."""
    both.remember()
    wrong = []
    with PredictionLoad(both.port) as load:
        with _filled(home, kind):
            at = time.monotonic()
            both.add_rows()
            full_s = dice.choice(FULL_S)
            is_named = False
            while time.monotonic() < at + full_s and not is_named:
                is_named = _names_it(both)
                time.sleep(0.3)
            if full_s > NAMED_WITHIN_S and not is_named:
                wrong.append(f"health does not name it: {both.health().get('problems')}")
        try:
            both.wait_until_well()
        except AssertionError as error:
            wrong.append(f"{error}: {both.health()}")
    wrong += [f"a request failed: {failure}" for failure in load.failures[:3]]
    return wrong + load.went_back[:3] + [f"{name} ended" for name in both.start_what_has_ended()]


def _names_it(both: BothDaemons) -> bool:
    problems = both.health().get("problems", [])
    return any(word in problem.lower() for problem in problems for word in _WORDS)


@contextlib.contextmanager
def _filled(home: Path, kind: str) -> Iterator[None]:
    ballast = home / "ballast"
    ballast.mkdir()
    with contextlib.suppress(OSError):
        if kind == "bytes":
            with (ballast / "bytes").open("wb", buffering=0) as file:
                while file.write(b"x" * 65_536):
                    pass
        else:
            for number in range(N_FILES):
                (ballast / str(number)).touch()
    try:
        yield
    finally:
        for path in ballast.iterdir():
            path.unlink()
        ballast.rmdir()


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    place = folder / "home"
    place.mkdir(parents=True)
    options = f"size={SIZE},nr_inodes={N_FILES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
