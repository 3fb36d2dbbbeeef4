"""Who never opens the console does not pay for it."""

from __future__ import annotations

import subprocess
import sys

from tests.support.daemons import ROOT


def test_nothing_of_the_console_is_imported_before_the_first_page() -> None:
    """Each worker would hold its templates and pictures in memory."""
    script = (
        "import sys, api_service.app; "
        "print([name for name in sys.modules if name.startswith('api_service.console')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
