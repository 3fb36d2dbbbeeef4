"""Twenty swaps in a row while clients ask: nobody fails, nobody gets a mixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.api_process import ApiHome, steady_load
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SWAPS = 20


def test_twenty_swaps_under_load_fail_no_request_and_mix_no_versions(tmp_path: Path) -> None:
    """The promise of the whole system, on real processes, sockets and files."""
    home = ApiHome(tmp_path)
    first = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(first)
        pids = home.worker_pids()
        with steady_load(home.port) as load:
            for number in range(2, SWAPS + 2):
                before = load.n_answered
                version = home.publish("m", number)
                home.wait_until_served(version)
                wait_until(lambda n=before: load.n_answered > n + 20, 10, "more answers")  # type: ignore[misc]

        reports = home.workers()
        assert process.stop() == 0

    assert load.failures == []
    assert load.mixed == []
    generations = {generation for _, generation in load.answered}
    assert generations == set(range(1, SWAPS + 2)), "every version answered somebody"
    assert {report.pid for report in reports} == pids, "no worker was replaced"
    for report in reports:
        receipt = report.models["m"].receipt
        assert report.models["m"].version == version
        assert receipt is not None
        assert receipt.requests_failed == 0
        assert receipt.drain_ms is not None
    assert "Traceback" not in home.log.read_text()


def test_swapping_large_models_leaves_no_memory_behind(tmp_path: Path) -> None:
    """A daemon that swaps for months must not grow by a model a day."""
    ballast_mb = 40
    home = ApiHome(tmp_path)
    version = home.publish("m", 1, ballast_mb=ballast_mb)

    with home.running():
        home.wait_until_served(version)
        after: list[int] = []
        with steady_load(home.port, connections=4) as load:
            for number in range(2, 10):
                version = home.publish("m", number, ballast_mb=ballast_mb)
                home.wait_until_served(version)
                receipts = [report.models["m"].receipt for report in home.workers()]
                after.append(max(one.rss_after_bytes or 0 for one in receipts if one is not None))

    assert load.failures == []
    growth_mb = (after[-1] - after[0]) / 1e6
    assert growth_mb < ballast_mb / 2, [round(one / 1e6) for one in after]
