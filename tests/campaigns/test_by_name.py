"""Each campaign in short: nothing breaks, and nothing that nobody signed is let in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.campaigns.__main__ import SEED
from tests.campaigns.by_name import CAMPAIGNS
from tests.campaigns.tally import Tally

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="stops processes, lays pipes and links"),
]


@pytest.mark.parametrize("name", [name for name, each in CAMPAIGNS.items() if each.tiny])
def test_a_campaign_breaks_nothing(name: str, tmp_path: Path) -> None:
    tally, campaign = Tally(), CAMPAIGNS[name]

    campaign.run(tmp_path, campaign.tiny, SEED, tally)

    print(tally.table())
    assert tally.n("survived") > 0
    assert tally.n("broken") + tally.n("let in") == 0, "\n".join(tally.told)
