"""Processes of both daemons are killed and frozen at random under load.

A kill may cost the requests on the connections of the process that was killed and no other one; a
frozen process goes on after SIGCONT or is replaced. What ended as a whole is started again, as a
service manager does.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from pathlib import Path

import psutil

from tests.campaigns.both_daemons import CONNECTIONS, BothDaemons, PredictionLoad, feed_load
from tests.campaigns.tally import Tally

KILLED = ("worker", "fork server", "main process", "training daemon", "training child")
FROZEN = ("worker", "fork server", "training daemon", "training child")
FREEZE_S = (1.0, 4.0)


def kills(folder: Path, rounds: int, seed: int, tally: Tally) -> None:
    _campaign(folder, rounds, seed, tally, "processes killed", KILLED)


def freezes(folder: Path, rounds: int, seed: int, tally: Tally) -> None:
    _campaign(folder, rounds, seed, tally, "processes frozen", FROZEN)


def _campaign(
    folder: Path, rounds: int, seed: int, tally: Tally, name: str, kinds: tuple[str, ...]
) -> None:
    both, dice = BothDaemons(folder), random.Random(seed)
    with both.running():
        for number in range(rounds):
            kind = kinds[number % len(kinds)]
            try:
                wrong = _round(both, kind, dice, is_kill=kinds is KILLED)
            except AssertionError as error:
                wrong = [str(error)]
                for process in _all(both):  # the next round begins with what goes on
                    process.resume()
                both.start_what_has_ended()
            tally.add(name, kind, "broken" if wrong else "survived", "; ".join(wrong))
        wrong = both.stop()
    tally.add(name, "all invariants after the end", "broken" if wrong else "survived", str(wrong))


def _round(both: BothDaemons, kind: str, dice: random.Random, *, is_kill: bool) -> list[str]:
    """What was wrong. Each begins and ends with both daemons well."""
    both.remember()
    with PredictionLoad(both.port) as load, feed_load(both):
        time.sleep(dice.uniform(0.1, 0.5))
        both.add_rows()
        time.sleep(dice.uniform(0, 0.8))  # somewhere between the poll and the swap
        doomed: set[int] = set()
        if kind == "fork server":  # it is there as long as a worker has to be replaced
            worker = both.process("worker", dice.randrange(10))
            worker.suspend()
            doomed = _ports_of(worker)
            worker.send_signal(signal.SIGKILL)
        process = both.process(kind, dice.randrange(10))
        with contextlib.suppress(psutil.NoSuchProcess):  # a training has just ended
            process.suspend()
            doomed |= _ports_of(process) if kind == "worker" else set()
        if is_kill:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        else:
            time.sleep(dice.uniform(*FREEZE_S))
            with contextlib.suppress(psutil.NoSuchProcess):  # it was replaced meanwhile
                process.resume()
        if is_kill and kind in ("main process", "training daemon"):
            psutil.wait_procs([process], timeout=30)
            both.start_what_has_ended()
        both.wait_until_well()
    failed = [failure for failure in load.failures if failure[1] not in doomed]
    # All connections end with the main process; while nobody listens, everything is refused. A
    # frozen worker that is replaced while it wakes up may have taken further ones.
    is_replaced = not is_kill and kind == "worker" and not process.is_running()
    if is_replaced or (is_kill and kind == "main process"):
        failed = [failure for failure in failed if failure[2][:1].isdigit()]
    wrong = [f"a request failed that it does not explain: {failure}" for failure in failed[:3]]
    if len(load.failures) > 2 * CONNECTIONS and kind == "worker":
        wrong.append(f"{len(load.failures)} requests failed on {CONNECTIONS} connections")
    ended = both.start_what_has_ended()
    return wrong + load.went_back[:3] + [f"{name} ended" for name in ended]


def _ports_of(process: psutil.Process) -> set[int]:
    """Our ends of its connections, while it stands still."""
    return {
        connection.raddr.port for connection in process.net_connections("tcp") if connection.raddr
    }


def _all(both: BothDaemons) -> list[psutil.Process]:
    found = []
    for running in (both.api, both.training):
        with contextlib.suppress(psutil.NoSuchProcess):
            main = psutil.Process(running.process.pid)
            found += [main, *main.children(recursive=True)]
    return [process for process in found if process.is_running()]
