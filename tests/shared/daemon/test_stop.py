"""What ends a daemon and what does not."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_WAITS = """
import sys, threading
from shared.daemon.stop import stop_on_signals
stop = threading.Event()
stop_on_signals(stop, outlives_terminal=True)
print("ready", flush=True)
assert stop.wait(30)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_hang_up_ends_nothing() -> None:
    """A terminal that closes, and `systemctl reload` in somebody's script, send HUP."""
    with subprocess.Popen(
        [sys.executable, "-c", _WAITS], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for name in ("SIGHUP", "SIGUSR1"):
            process.send_signal(getattr(signal, name))
            assert f"{name}: settings are read at the start alone" in process.stdout.readline()

        process.terminate()

        assert process.wait(30) == 0
