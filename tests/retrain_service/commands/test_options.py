"""Options of the command line that no run could work with are refused before anything is read."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from retrain_service.cli import main


@pytest.mark.parametrize("command", ["once", "train"])
@pytest.mark.parametrize("days", ["0", "-1", "1000000", "9" * 30])
def test_days_are_as_bounded_as_through_the_api(command: str, days: str) -> None:
    """A number that no date can bear would end the run in the middle, with another sentence."""
    done = CliRunner().invoke(main, [command, f"--days={days}"])

    assert done.exit_code == 2
    assert "is not in the range 1<=x<=3660" in done.output
