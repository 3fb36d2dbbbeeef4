"""Run the campaigns and print how many attempts ended how.

python -m tests.campaigns: a sample of file operations, some minutes. --long: every operation with
every kind of fault, hours. --points N: so many operations of each daemon.
python -m tests.campaigns NAME: one of by_name.py. --rounds N: so many; --long: as many as it has.
--folder: where homes and logs stay.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.campaigns.api_writes import ApiWrites
from tests.campaigns.by_name import CAMPAIGNS
from tests.campaigns.faults import KINDS, built, why_not
from tests.campaigns.tally import Tally
from tests.campaigns.training_writes import TrainingWrites

SEED = 20_261_130
SHORT = 6
FILES = "files"

_NAMES = re.compile(r"v\d{6}-\w+|[0-9a-f]{8,}|\d+")
"""Parts of file names that differ from run to run."""


def run(folder: Path, points: int | None, seed: int = SEED) -> Tally:
    """points : operations of each daemon that meet one fault each, chosen by the seed, the kinds
    in turn; None: every operation meets every kind."""
    tally, library = Tally(), built(folder)
    for campaign in (
        TrainingWrites(folder / "training", library, tally),
        ApiWrites(folder / "api", library, tally),
    ):
        campaign.count()  # the first start makes keys and files that later ones find
        for at, kind in plan(campaign.count(), points, seed):
            campaign.attempt(at, kind)
    return tally


def plan(operations: Sequence[str], points: int | None, seed: int) -> list[tuple[int, str]]:
    """(number of the operation, kind of fault) in order; what is done often is not chosen often."""
    if points is None:
        return [(at, kind) for at in range(1, len(operations) + 1) for kind in KINDS]
    alike: dict[str, list[int]] = {}
    for at, operation in enumerate(operations, start=1):
        alike.setdefault(_NAMES.sub("*", operation), []).append(at)
    dice = random.Random(seed)
    names = dice.sample(sorted(alike), min(points, len(alike)))
    first = dice.randrange(len(KINDS))
    chosen = [
        (dice.choice(alike[name]), KINDS[(first + i) % len(KINDS)]) for i, name in enumerate(names)
    ]
    return sorted(chosen)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Try to break Hotfit, and count.")
    parser.add_argument("name", nargs="?", choices=[FILES, *CAMPAIGNS], default=FILES)
    parser.add_argument("--long", action="store_true", help="every operation, every fault")
    parser.add_argument("--rounds", type=int, metavar="N", help="of a campaign with a name")
    parser.add_argument("--points", type=int, default=SHORT, metavar="N")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--folder", type=Path)
    told = parser.parse_args(arguments)
    reason = why_not()
    if reason is not None and told.name == FILES:
        print(reason, file=sys.stderr)
        return 2
    folder = told.folder or Path(tempfile.mkdtemp(prefix="hotfit-campaigns-"))
    folder.mkdir(parents=True, exist_ok=True)
    if told.name == FILES:
        tally = run(folder, None if told.long else told.points, told.seed)
    else:
        campaign, tally = CAMPAIGNS[told.name], Tally()
        rounds = told.rounds or (campaign.long if told.long else campaign.short)
        try:
            campaign.run(folder, rounds, told.seed, tally)
        except KeyboardInterrupt:
            print("interrupted; so far:")
    print(tally.table())
    for sentence in tally.told:
        print(sentence)
    print(f"homes and logs: {folder}")
    return 1 if tally.n("broken") or tally.n("let in") else 0


if __name__ == "__main__":
    sys.exit(main())
