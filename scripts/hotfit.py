"""The command `hotfit`: start, stop and status of both daemons, and every command of the trainer.

start, stop and status work on the project's folder, as the scripts of these names do; all others
where one stands. Wiring only.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __package__ in (None, ""):
    sys.path[0] = str(ROOT)

OF_BOTH_DAEMONS = ("start", "stop", "status")
_HELP = """Usage: hotfit start | stop | status [OPTIONS]   both daemons
       hotfit [--config FILE] COMMAND [OPTIONS]    one of the commands below
"""


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in OF_BOTH_DAEMONS:
        from scripts.control import main as control

        return control(given)
    from retrain_service.cli import main as commands

    if not given or given[0] in ("-h", "--help"):
        print(_HELP, flush=True)
        given = ["--help"]
    return commands.main(args=given, prog_name="hotfit")  # ends the process


if __name__ == "__main__":
    sys.exit(main())
