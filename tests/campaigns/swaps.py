"""Swaps in a row under load: no request fails, and memory, descriptors and threads stay flat."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from tests.campaigns.tally import Tally
from tests.support.api_process import ApiHome, steady_load
from tests.support.versions import write_signal
from tests.support.waiting import wait_until

CAMPAIGN = "swaps under load"
BALLAST_MB = 10
SETTLED_AFTER = 0.3
"""After this share of the swaps what grows once has grown: pools, caches, threads."""
MOST_GROWTH = {"memory, MB": 2.5 * BALLAST_MB, "descriptors": 8, "threads": 4}
"""Of one worker; two versions are open during a swap, so memory may end one apart."""
POOL = "tokio-rt-worker"
"""Threads of the server that read bodies: as load needs them, up to a bound, swaps or not."""


def swaps(folder: Path, rounds: int, seed: int, tally: Tally) -> None:
    """So many of two versions in turn; generations rise."""
    home = ApiHome(folder)
    versions = [home.make("m", number, ballast_mb=BALLAST_MB) for number in (1, 2)]
    write_signal(home.store, "m", versions[0])
    with home.running() as process:
        home.wait_until_served(versions[0])
        workers = [psutil.Process(pid) for pid in home.worker_pids()]
        measured: list[dict[str, float]] = []
        with steady_load(home.port, connections=4) as load:
            for number in range(1, rounds + 1):
                failed, before = len(load.failures) + len(load.mixed), load.n_answered
                version = versions[number % 2]
                write_signal(home.store, "m", version)
                try:
                    home.wait_until_served(version, timeout_s=60)
                    wait_until(lambda n=before: load.n_answered > n, 60, "an answer")  # type: ignore[misc]
                    wrong = [*load.failures, *load.mixed][failed:]
                except AssertionError as error:
                    wrong = [str(error)]
                tally.add(CAMPAIGN, "swap", "broken" if wrong else "survived", str(wrong[:3]))
                measured.append(_most(workers))
        wrong = [*load.failures, *load.mixed][:3]
        if {process.pid for process in workers} != home.worker_pids():
            wrong.append("a worker was replaced")
        wrong += _growth(measured)
        code = process.stop(60)
        if code:
            wrong.append(f"exit code {code}")
    tally.add(
        CAMPAIGN, "memory, descriptors, threads", "broken" if wrong else "survived", str(wrong)
    )
    if measured:
        first, last = measured[int(len(measured) * SETTLED_AFTER)], measured[-1]
        print(f"{CAMPAIGN}: {first} at {int(len(measured) * SETTLED_AFTER)}, {last} at the end")


def _most(workers: list[psutil.Process]) -> dict[str, float]:
    """Of the worker that has most of it."""
    return {
        "memory, MB": max(one.memory_info().rss for one in workers) / 1e6,
        "descriptors": max(one.num_fds() for one in workers),
        "threads": max(_n_threads(one) for one in workers),
    }


def _n_threads(process: psutil.Process) -> int:
    """But those of the server's pool."""
    n = 0
    for thread in process.threads():
        with contextlib.suppress(OSError):  # it has just ended
            n += Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text().strip() != POOL
    return n


def _growth(measured: list[dict[str, float]]) -> list[str]:
    settled = measured[int(len(measured) * SETTLED_AFTER) :]
    if len(settled) < 4:
        return []
    half = len(settled) // 2
    found = []
    for what, most in MOST_GROWTH.items():
        earlier, later = (
            max(one[what] for one in part) for part in (settled[:half], settled[half:])
        )
        if later - earlier > most:
            found.append(f"{what}: at most {earlier:.0f} in the first half, {later:.0f} afterwards")
    return found
