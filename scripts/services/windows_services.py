"""Install and remove both daemons as Windows services, with NSSM: behind the .bat files here.

Not batch, in which a path with a bracket, a percent sign or a letter of another code page comes to
harm. Standard library only; what needs packages is asked of the environment's Python.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from scripts.services import nssm

ROOT = Path(__file__).resolve().parents[2]
LOG_LIMIT_BYTES = 10_000_000
RESTART_AFTER_MS = 5_000
STOP_WITHIN_MS = 10_000
KEYS_WITHIN_S = 60.0
LET_GO_WITHIN_S = 10.0
# What the daemons write in their data folder; whatever else lies there is somebody else's.
FOLDERS = (
    "buffer",
    "keys",
    "live",
    "logs",
    "models",
    "pids",
    "prediction_log",
    "reports",
    "requests",
    "work",
)
DATABASES = ("run_log.sqlite", "feed.sqlite")


@dataclass(frozen=True, slots=True)
class Service:
    """One daemon as a service; `arguments` are Python's."""

    name: str
    daemon: str
    arguments: str


# The retrain daemon makes the keys, without which the API may not serve other machines.
SERVICES = (
    Service("hotfit-retrain", "retrain_service", "-m retrain_service run"),
    Service("hotfit-api", "api_service", "-m api_service"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """What the services run and where; `home` is the data folder."""

    venv: Path
    config: Path
    home: Path

    @property
    def python(self) -> Path:
        return self.venv / "Scripts" / "python.exe"


def main(arguments: Sequence[str] | None = None) -> int:
    wanted = _parser().parse_args(arguments)
    try:
        if wanted.command == "install":
            install(is_dry=wanted.dry_run)
        else:
            uninstall(is_dry=wanted.dry_run, keeps_data=wanted.keep_data)
    except (nssm.Refused, OSError) as error:
        print(f"{wanted.command}.bat: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def install(*, is_dry: bool) -> None:
    """Set up and start both services; the same ones anew when they are there."""
    place = find_place()
    if is_dry:
        for service in SERVICES:
            _would(["nssm", "install", service.name, str(place.python)])
            for step in settings(service, place):
                _would(["nssm", *step])
            _would(["nssm", "start", service.name])
        return
    if not place.config.is_file():
        example = Path("docs") / "hotfit.example.toml"
        raise nssm.Refused(
            f"expected a configuration at {place.config}; copy {example} there first."
        )
    _need_administrator()
    if subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "setup" / "environment.py")]
    ).returncode:
        raise nssm.Refused("the packages could not be installed; see above.")
    place = find_place()
    program = nssm.find(place.venv) or nssm.load(place.venv)
    (place.home / "logs").mkdir(parents=True, exist_ok=True)
    for service in SERVICES:
        if nssm.is_known(service.name):
            nssm.stop(program, service.name)
        else:
            nssm.must(program, "install", service.name, str(place.python))
        for step in settings(service, place):
            nssm.must(program, *step)
        nssm.start(program, service.name, log_path(service, place))
        wait_for_keys(place.home)
    names = " and ".join(service.name for service in SERVICES)
    print(f"Hotfit is installed as the services {names}. Look: scripts\\status.bat")


def uninstall(*, is_dry: bool, keeps_data: bool) -> None:
    """Stop and remove both services, and what the daemons wrote; harmless when nothing is there."""
    place = find_place()
    program = nssm.find(place.venv)
    for service in reversed(SERVICES):
        if is_dry:
            _would(["nssm", "stop", service.name])
            _would(["nssm", "remove", service.name, "confirm"])
        elif nssm.is_known(service.name):
            _need_administrator()
            if program is None:
                raise nssm.Refused(
                    f"expected nssm.exe, found none. Instead: sc delete {service.name}"
                )
            nssm.stop(program, service.name)
            nssm.must(program, "remove", service.name, "confirm")
            if nssm.is_known(service.name):
                raise nssm.Refused(
                    f"{service.name} is still there until the window that shows it ends."
                )
    for path in () if keeps_data else written(place.home):
        if is_dry:
            _would(["delete", str(path)])
        else:
            delete(path)
    if is_dry:
        return
    if keeps_data:
        print(f"Hotfit's services are gone. Left: {place.home}")
        return
    if place.home.is_dir() and not any(place.home.iterdir()):
        place.home.rmdir()
    print("Hotfit's services are gone, with models, keys and logs.")


# -- what a service is -----------------------------------------------------------------------------


def log_path(service: Service, place: Place) -> Path:
    return place.home / "logs" / f"{service.daemon}.log"


def settings(service: Service, place: Place) -> list[tuple[str, ...]]:
    """The arguments of NSSM that make the service what docs/windows.md says."""
    log = str(log_path(service, place))
    values: list[tuple[str, ...]] = [
        ("Application", str(place.python)),
        ("AppParameters", service.arguments),
        ("AppDirectory", str(ROOT)),
        ("AppEnvironmentExtra", f"HOTFIT_CONFIG={place.config}", f"HOTFIT_HOME={place.home}"),
        ("AppStdout", log),
        ("AppStderr", log),
        ("AppRotateFiles", "1"),
        ("AppRotateOnline", "1"),
        ("AppRotateBytes", str(LOG_LIMIT_BYTES)),
        ("AppExit", "Default", "Restart"),
        # The configuration is wrong, which another start does not help.
        ("AppExit", "2", "Exit"),
        ("AppRestartDelay", str(RESTART_AFTER_MS)),
        # Ctrl-C; the daemons have no window and no message queue to ask.
        ("AppStopMethodConsole", str(STOP_WITHIN_MS)),
        ("AppStopMethodSkip", "6"),
        ("Start", "SERVICE_AUTO_START"),
    ]
    return [("set", service.name, *value) for value in values]


def written(home: Path) -> list[Path]:
    """What the daemons have left in their data folder."""
    folders = [home / name for name in FOLDERS if (home / name).is_dir()]
    return folders + [path for name in DATABASES for path in sorted(home.glob(f"{name}*"))]


# -- where it is -----------------------------------------------------------------------------------


def find_place() -> Place:
    """As the daemons will read it from the configuration; the default while nothing can read it.

    Raises:
        Refused: the configuration cannot be used.
    """
    venv = Path(os.environ.get("HOTFIT_VENV") or ROOT / ".venv").absolute()
    config = Path(os.environ.get("HOTFIT_CONFIG") or ROOT / "hotfit.toml").absolute()
    place = Place(venv, config, Path(os.environ.get("HOTFIT_HOME") or ROOT / "var").absolute())
    if not (config.is_file() and place.python.is_file()):
        return place
    told = subprocess.run(
        [str(place.python), str(ROOT / "scripts" / "control.py"), "home"],
        cwd=ROOT,
        env={**os.environ, "HOTFIT_CONFIG": str(config), "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    if told.returncode:
        raise nssm.Refused(f"{config} cannot be used; see above. Nothing was changed.")
    return Place(venv, config, Path(told.stdout.strip()))


# -- doing it --------------------------------------------------------------------------------------


def delete(path: Path) -> None:
    """Delete a file or a folder; a log is held open until NSSM, which wrote it, has ended."""
    deadline = time.monotonic() + LET_GO_WITHIN_S
    while True:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        except PermissionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def wait_for_keys(home: Path) -> None:
    """The first start of the retrain daemon makes them; without them the API says what is wrong."""
    deadline = time.monotonic() + KEYS_WITHIN_S
    while not (home / "keys" / "admin.key").exists() and time.monotonic() < deadline:
        time.sleep(0.2)


def _need_administrator() -> None:
    if sys.platform == "win32":
        import ctypes

        # NSSM would open a window that asks, which nobody may be there to answer.
        if not ctypes.windll.shell32.IsUserAnAdmin():
            raise nssm.Refused("expected an administrator's prompt. Nothing was changed.")


def _would(command: Sequence[str]) -> None:
    print(f"would run: {subprocess.list2cmdline(command)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="windows_services.py", description="For the .bat files.")
    commands = parser.add_subparsers(dest="command", required=True)
    installing = commands.add_parser(
        "install",
        prog="install.bat",
        description="Install both daemons as Windows services with NSSM, anew when they are there."
        " They start at boot and come back when they end.",
        epilog="Needs an administrator's prompt and a hotfit.toml, or HOTFIT_CONFIG, which names"
        " another file.",
    )
    removing = commands.add_parser(
        "uninstall",
        prog="uninstall.bat",
        description="Remove the Windows services, models, keys and logs. hotfit.toml, the project"
        " and whatever else lies in the data folder stay.",
    )
    for each in (installing, removing):
        each.add_argument("--dry-run", action="store_true", help="show the steps and take none")
    removing.add_argument("--keep-data", action="store_true", help="leave models, keys and logs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
