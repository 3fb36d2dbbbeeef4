"""The clock of the machine is set forward and back while both daemons run under load.

The application writes its rows by the same clock. No request fails, records are taken, and
a training with all rows is served within two minutes, whatever the clock says.
"""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

from tests.campaigns.both_daemons import BothDaemons, PredictionLoad, feed_load
from tests.campaigns.tally import Tally

SOURCE = Path(__file__).with_name("clock_shift.c")
SHIFTS_S = (-86_400, 3_600, -400, 0, 86_400, -3_600, 40 * 86_400, 60, -40 * 86_400)
"""How far the clock is ahead, one after the other: it also jumps by what lies between two."""


def clocks(folder: Path, rounds: int, seed: int, tally: Tally) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    clock = _Clock(folder)
    both = BothDaemons(folder, environment=clock.environment)
    first = random.Random(seed).randrange(len(SHIFTS_S))
    with both.running():
        for number in range(rounds):
            ahead_s = SHIFTS_S[(first + number) % len(SHIFTS_S)]
            both.remember()
            wrong = []
            with PredictionLoad(both.port) as load, feed_load(both):
                clock.set_ahead(ahead_s)
                both.add_rows(ahead_s=ahead_s)
                try:
                    both.wait_until_well()
                except AssertionError as error:
                    wrong = [f"{error}: {both.health()}"]
            wrong += [f"a request failed: {failure}" for failure in load.failures[:3]]
            wrong += load.went_back[:3]
            wrong += [f"{name} ended" for name in both.start_what_has_ended()]
            outcome = "broken" if wrong else "survived"
            tally.add("clock set", f"{ahead_s:+} s", outcome, "; ".join(wrong))
        wrong = both.stop()
    tally.add(
        "clock set", "all invariants after the end", "broken" if wrong else "survived", str(wrong)
    )


class _Clock:
    """What a process that is started with its `environment` takes for the time of day."""

    def __init__(self, folder: Path) -> None:
        library, self._state = folder / "clock_shift.so", folder / "clock"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True
        )
        self.set_ahead(0)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_STATE": str(self._state)}

    def set_ahead(self, seconds: int) -> None:
        with self._state.open("r+b" if self._state.exists() else "wb") as file:
            file.write(struct.pack("l", seconds))
