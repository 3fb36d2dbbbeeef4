"""Run the campaigns and print how many attempts ended how.

python -m tests.campaigns: a sample of file operations, some minutes. --long: every operation with
every kind of fault, hours. --points N: so many of each daemon.
python -m tests.campaigns NAME: one of by_name.py. --rounds N: so many; --long: as many as it has.
--folder: where homes and logs stay.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.campaigns.api_writes import ApiWrites
from tests.campaigns.by_name import CAMPAIGNS
from tests.campaigns.faults import built, why_not
from tests.campaigns.first_starts import FirstStarts
from tests.campaigns.points import plan
from tests.campaigns.tally import BAD, Tally
from tests.campaigns.training_writes import TrainingWrites

SEED = 20_261_130
SHORT = 6
FILES = "files"


def run(folder: Path, points: int | None, seed: int = SEED, tally: Tally | None = None) -> Tally:
    """points : of each daemon, half as many of its first start in an empty home; None: all."""
    tally, library = tally or Tally(), built(folder)
    few = None if points is None else max(1, points // 2)
    for campaign, n in (
        (TrainingWrites(folder / "training", library, tally), points),
        (ApiWrites(folder / "api", library, tally), points),
        (FirstStarts(TrainingWrites, folder / "first-training", library, tally), few),
        (FirstStarts(ApiWrites, folder / "first-api", library, tally), few),
    ):
        for point in plan(campaign.count(), n, seed):
            campaign.attempt(point)
    return tally


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
    tally = Tally()
    try:
        if told.name == FILES:
            run(folder, None if told.long else told.points, told.seed, tally)
        else:
            campaign = CAMPAIGNS[told.name]
            rounds = told.rounds or (campaign.long if told.long else campaign.short)
            campaign.run(folder, rounds, told.seed, tally)
    except KeyboardInterrupt:
        print("interrupted; so far:")
    print(tally.table())
    for sentence in tally.told:
        print(sentence)
    print(f"homes and logs: {folder}")
    return 1 if any(tally.n(outcome) for outcome in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
