"""Run inside: the API's watcher on Windows' own directory events. Prints how soon it noticed."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import structlog

from api_service.signal_watcher import SignalWatcher
from shared.exchange.reload_signal import SIGNAL_NAME

_WRITE = """
import sys
from pathlib import Path
from shared.atomic_file import write_atomic
write_atomic(Path(sys.argv[1]), b"{}")
"""


def main(directory: Path) -> None:
    """A new signal and a replaced one, each written by another process; then silence."""
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=quiet)
    (directory / "m").mkdir(parents=True)
    wake = threading.Event()
    watcher = SignalWatcher(directory, wake)
    watcher.check_health()
    assert watcher.report.is_well, watcher.report.sentence
    kind = type(watcher._observer).__module__
    for name in ("new", "replaced"):
        wake.clear()
        subprocess.run(
            [sys.executable, "-c", _WRITE, str(directory / "m" / SIGNAL_NAME)], check=True
        )
        written = time.monotonic()
        assert wake.wait(5), f"no event for a {name} signal"
        print(f"{name}: noticed within {max(0.0, time.monotonic() - written) * 1000:.0f} ms")
        time.sleep(0.5)  # what else the same change has to tell
    wake.clear()
    watcher.check_health()
    (directory / "m" / SIGNAL_NAME).read_bytes()
    assert not wake.wait(1), "reading a signal woke the watcher"
    watcher.stop()
    print(f"by {kind}; reading wakes nobody")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
