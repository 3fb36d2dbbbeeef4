"""start, stop, status: the command line behind the shells of the same names.

Options first, everything else after, so that --help needs no package. Wiring only.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from scripts.daemons import preset
from scripts.daemons.preset import Preset

if TYPE_CHECKING:
    from shared.settings.root import Settings

ROOT = Path(__file__).resolve().parent.parent

EXIT_CONFIGURATION = 2
EXIT_FAILED = 4


@dataclass(frozen=True, slots=True)
class Place:
    """What the scripts work on. preset : where the settings come from; None: from the user's."""

    settings: Settings
    preset: Preset | None


def main(arguments: Sequence[str] | None = None) -> int:
    wanted = _parser().parse_args(arguments)
    from scripts.daemons.terminal import complain, prepare

    prepare()
    from shared.errors import HotfitError, SettingsInvalid

    try:
        return _run(wanted)
    except SettingsInvalid as error:
        complain(str(error))
        return EXIT_CONFIGURATION
    except BrokenPipeError:  # the reader has seen enough: status.sh | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except (HotfitError, OSError) as error:
        complain(f"{wanted.command}: {error}")
        return EXIT_FAILED
    except KeyboardInterrupt:
        complain(
            "Interrupted. What was started goes on: scripts/status.sh shows it, stop.sh ends it."
        )
        return 130


def find_place(asked: str | None = None) -> Place:
    """Read the configuration as the daemons will: the preset that was asked for, HOTFIT_CONFIG,
    hotfit.toml, else the default preset.

    From here on the working directory is the project's, for relative paths in the settings.

    Raises:
        SettingsInvalid: it cannot be used as it is, or two are named.
    """
    from shared.errors import SettingsInvalid
    from shared.settings.root import load_settings

    named = os.environ.get("HOTFIT_CONFIG")
    if named and asked:
        raise SettingsInvalid(
            f"--preset {asked} and HOTFIT_CONFIG = {named} both name a configuration: expected one."
        )
    if named:  # relative to where the caller stands
        os.environ["HOTFIT_CONFIG"] = str(Path(named).absolute())
    os.chdir(ROOT)
    chosen = None
    if asked:
        chosen = Preset(asked)
    elif not named and not (ROOT / "hotfit.toml").is_file():
        chosen = Preset(preset.DEFAULT, is_asked=False)
    if chosen is not None:
        os.environ["HOTFIT_CONFIG"] = str(chosen.config)
    return Place(load_settings(), chosen)


def _run(wanted: argparse.Namespace) -> int:
    place = find_place(wanted.preset)
    if wanted.command == "start":
        from scripts.daemons.start import start

        return start(place.settings, preset=place.preset, wait_s=wanted.wait)
    if wanted.command == "stop":
        from scripts.daemons.stop import stop

        return stop(place.settings)
    if wanted.command == "home":
        from scripts.daemons.terminal import say

        say(str(place.settings.home.absolute()))
        return 0
    from scripts.daemons.status import show

    return show(place.settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="control.py", description="Start, stop and look.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    suffix = "bat" if os.name == "nt" else "sh"
    environment = (
        "HOTFIT_CONFIG names the configuration (hotfit.toml; without one the preset"
        f" {preset.DEFAULT} runs),"
        " HOTFIT_VENV the virtual environment (.venv), HOTFIT_PYTHON the Python to make it with."
    )
    start_parser = commands.add_parser(
        "start",
        prog=f"start.{suffix}",
        description="Start both daemons in the background and wait until predictions are served."
        " The first start makes .venv.",
        epilog=f"{environment} Exit code: 0 healthy; 2 configuration; 3 already running;"
        " 4 a daemon ended or did not become healthy in time.",
    )
    start_parser.add_argument(
        "--wait",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="how long to wait until healthy; 0: do not wait (default: 300)",
    )
    stop_parser = commands.add_parser(
        "stop",
        prog=f"stop.{suffix}",
        description="Stop both daemons: ask, wait ten seconds, then kill what is left.",
        epilog="Exit code: 0 nothing runs any more; 1 something could not be stopped.",
    )
    status_parser = commands.add_parser(
        "status",
        prog=f"status.{suffix}",
        description="Show both daemons, the version that is served and the last training run.",
        epilog="Exit code: 0 both run; 1 one runs; 3 none runs.",
    )
    home_parser = commands.add_parser(
        "home", description="Print where models, keys and logs are. For scripts."
    )
    for each in (start_parser, stop_parser, status_parser, home_parser):
        each.add_argument(
            "--preset",
            choices=preset.names(),
            metavar="NAME",
            help=f"a configuration with demo data instead of your own: {', '.join(preset.names())}",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
