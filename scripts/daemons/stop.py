"""End both daemons: ask, wait ten seconds, kill what is left. Knows no model."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil

from scripts.daemons import processes
from scripts.daemons.terminal import complain, paint, say
from shared.settings.root import Settings

GRACE_S = 10.0


def stop(settings: Settings, grace_s: float = GRACE_S) -> int:
    """Stop what runs on the home directory of `settings`; 0 when nothing is left running."""
    started = time.monotonic()
    groups: dict[processes.Daemon, list[psutil.Process]] = {}
    for daemon in processes.DAEMONS:
        main = processes.running(daemon, settings.pids_dir)
        groups[daemon] = processes.members(daemon, settings.home, main)
        # The daemon ends its own children; only orphans are asked themselves.
        asked = [main] if main is not None else groups[daemon]
        for process in asked:
            try:
                processes.ask_to_stop(process)
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                complain(f"{daemon.name}: pid {process.pid} belongs to {_user(process)}.")
                return 1
    if not any(groups.values()):
        say("Nothing was running.")
        return 0
    # Asking is a program of its own on Windows, and takes seconds there.
    asked_at = time.monotonic()
    left_any = False
    for daemon, group in groups.items():
        if not group:
            say(f"{daemon.name}  was not running")
            continue
        # Children that were started since count too.
        deadline_s = max(0.0, grace_s - (time.monotonic() - asked_at))
        processes.wait_for_end(group, deadline_s)
        late = processes.members(daemon, settings.home, None)
        late += [process for process in group if processes.is_alive(process)]
        late = list({process.pid: process for process in late}.values())
        took_s = time.monotonic() - started
        if not late:
            say(f"{daemon.name}  {paint('stopped', 'green')} after {took_s:.1f} s")
            continue
        immortal = processes.kill(late)
        pids = ", ".join(str(process.pid) for process in late)
        say(f"{daemon.name}  {paint('killed', 'yellow')} after {took_s:.1f} s (pid {pids})")
        left_any = left_any or bool(immortal)
    if left_any:
        complain("Some processes could not be killed; see ./scripts/status.sh")
        return 1
    for daemon in processes.DAEMONS:  # what a killed daemon could not remove itself
        if processes.running(daemon, settings.pids_dir) is None:
            with suppress(OSError):
                (settings.pids_dir / f"{daemon.name}.pid").unlink(missing_ok=True)
    return 0


def _user(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"user {process.username()!r}: stop it as that user"
    return "another user"
