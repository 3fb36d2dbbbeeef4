"""A daemon is cut at the file operations of its first start, each time in a new home.

Whatever it came to, the next start goes on with it: no half key, none replaced.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.campaigns.api_writes import ApiWrites
from tests.campaigns.faults import Point
from tests.campaigns.tally import Tally
from tests.campaigns.training_writes import TrainingWrites


class FirstStarts:
    """of : whose. library : of `faults.built`."""

    def __init__(
        self,
        of: type[TrainingWrites] | type[ApiWrites],
        folder: Path,
        library: Path,
        tally: Tally,
    ) -> None:
        self._of, self._folder, self._library, self._tally = of, folder, library, tally
        self._n = 0

    def count(self) -> list[str]:
        return self._in_a_new_home().count_once()

    def attempt(self, point: Point) -> None:
        self._in_a_new_home().attempt(point, f"{self._of.CAMPAIGN}, first start")

    def _in_a_new_home(self) -> TrainingWrites | ApiWrites:
        self._n += 1
        folder = self._folder / str(self._n)
        shutil.rmtree(folder, ignore_errors=True)
        return self._of(folder, self._library, self._tally)
