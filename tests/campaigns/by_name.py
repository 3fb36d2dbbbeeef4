"""The campaigns of processes, files and clients under load: their names and how long they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.campaigns.clients import clients
from tests.campaigns.clocks import clocks
from tests.campaigns.deletions import deletions
from tests.campaigns.foreign_files import foreign_files
from tests.campaigns.full_disk import full_disk
from tests.campaigns.odd_records import odd_records
from tests.campaigns.processes import freezes, kills
from tests.campaigns.routes import routes
from tests.campaigns.swaps import swaps
from tests.campaigns.tally import Tally


@dataclass(frozen=True)
class Campaign:
    """short, long : rounds; tiny: of the test suite, 0: not in it.

    run : (folder, rounds, seed, tally).
    """

    run: Callable[[Path, int, int, Tally], None]
    tiny: int
    short: int
    long: int


CAMPAIGNS = {
    "kills": Campaign(kills, 3, 20, 1_000),
    "freezes": Campaign(freezes, 1, 12, 500),
    "deletions": Campaign(deletions, 1, 17, 170),
    "foreign-files": Campaign(foreign_files, 2, 18, 1_000),
    "clients": Campaign(clients, 8, 24, 1_000),
    "clocks": Campaign(clocks, 1, 9, 300),
    "full-disk": Campaign(full_disk, 0, 6, 200),
    "swaps": Campaign(swaps, 20, 100, 2_000),
    "odd-records": Campaign(odd_records, 1, 4, 45),
    "routes": Campaign(routes, 400, 3_000, 20_000),
}
