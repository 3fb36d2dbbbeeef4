"""Make the virtual environment and keep it equal to the requirement files.

Standard library only, and written so that an old Python can still read it and say what is
wrong. Knows no daemon and no setting but HOTFIT_VENV, where the environment lives (.venv).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from scripts.setup.debian import apt_install, can_install
from scripts.setup.launcher import write_launcher
from scripts.setup.test_servers import offer_test_servers

ROOT = Path(__file__).resolve().parent.parent.parent
OLDEST_PYTHON = (3, 11)
RUNTIME = ("requirements.txt",)
DEVELOPMENT = ("requirements-dev.txt",)
# Installed without what they depend on: data sets, and clients of which a part is enough.
DATA_ONLY = ("tests/requirements-data.txt", "tests/requirements-clients.txt")
STAMP_NAME = "hotfit-setup.json"
LOCK_NAME = "hotfit-setup.lock"
IS_WINDOWS = os.name == "nt"


class SetupFailed(Exception):
    """The sentence says what was expected, what was found and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make .venv and install the pinned packages.")
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    wanted = parser.parse_args(arguments)
    sets: dict[str, tuple[str, ...]] = {"runtime": RUNTIME}
    if wanted.dev:
        sets["dev"] = DEVELOPMENT + DATA_ONLY
    try:
        check_python()
        set_up(venv_dir(), sets)
        write_launcher(venv_python(venv_dir()), ROOT)
    except SetupFailed as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"setup: {error.filename}: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; the next start goes on from here.", file=sys.stderr)
        return 130
    if wanted.dev:
        offer_test_servers(venv_dir())
    return 0


def venv_dir() -> Path:
    """HOTFIT_VENV, else .venv beside this folder."""
    named = os.environ.get("HOTFIT_VENV")
    return Path(named).absolute() if named else ROOT / ".venv"


def venv_python(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if IS_WINDOWS else "bin/python")


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> None:
    """Raises SetupFailed when this Python is too old for Hotfit."""
    if version[:2] >= OLDEST_PYTHON:
        return
    found = ".".join(str(part) for part in version)
    raise SetupFailed(
        f"expected Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer, found {found}"
        f" ({sys.executable}). Install one (Debian 12: apt-get install python3 python3-venv)"
        " or name one in HOTFIT_PYTHON."
    )


def set_up(venv: Path, sets: dict[str, tuple[str, ...]]) -> None:
    """Make `venv` hold what the requirement files of `sets` name; at once when it does.

    Raises:
        SetupFailed: with what to do. OSError: the folder cannot be written.
    """
    digests = {name: digest_of(files) for name, files in sets.items()}
    if is_current(read_stamp(venv), digests, venv):
        return
    if venv.exists() and not (venv / "pyvenv.cfg").exists() and not _is_ours_unfinished(venv):
        raise SetupFailed(f"{venv}: expected a virtual environment, found other files there.")
    venv.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(venv / LOCK_NAME) as lock:
        stamp = read_stamp(venv)
        if is_current(stamp, digests, venv):  # another start has just done it
            return
        make_venv(venv, stamp)
        # Half of an interrupted package may look whole to pip: lay all of them anew.
        mode = ["--ignore-installed"] if stamp.get("installing") else []
        stamp = {"python": version_of(venv_python(venv)), "installing": True, "sets": {}}
        write_stamp(venv, stamp)
        for names, what, options in steps(sets):
            print(f"Installing {what} ({', '.join(names)}) …", flush=True)
            files = [part for name in names for part in ("-r", str(ROOT / name))]
            pip_install(venv, [*mode, *options, *files], lock)
        write_stamp(venv, {**stamp, "installing": False, "sets": digests})


def steps(
    sets: dict[str, tuple[str, ...]],
) -> Iterator[tuple[tuple[str, ...], str, list[str]]]:
    """What pip is asked for, in order: (requirement files, in words, options)."""
    # Compiling 9,000 modules ahead takes longer than compiling the few that are imported.
    options = ["--require-hashes", "--no-compile"]
    if "dev" not in sets:
        yield RUNTIME, "the pinned packages", options
        return
    yield RUNTIME + DEVELOPMENT, "the pinned packages and what the checks need", options
    yield DATA_ONLY, "data sets and clients for the tests", ["--no-deps", *options]


def digest_of(files: Sequence[str]) -> str:
    """One digest over the text of the files, whatever their line ends."""
    digest = hashlib.sha256()
    for name in files:
        digest.update(name.encode() + b"\0")
        digest.update((ROOT / name).read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def read_stamp(venv: Path) -> dict[str, object]:
    """What the last set-up left; empty when it never finished or is not readable."""
    try:
        stamp = json.loads((venv / STAMP_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(venv: Path, stamp: dict[str, object]) -> None:
    beside = venv / f"{STAMP_NAME}.tmp"
    beside.write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    beside.replace(venv / STAMP_NAME)


def is_current(stamp: dict[str, object], digests: dict[str, str], venv: Path) -> bool:
    """Whether the stamp says that every wanted set is there, under the Python that is there."""
    sets = stamp.get("sets")
    if stamp.get("installing") or not isinstance(sets, dict) or not venv_python(venv).exists():
        return False
    if any(sets.get(name) != digest for name, digest in digests.items()):
        return False
    return bool(stamp.get("python") == version_of(venv_python(venv)))


def version_of(python: Path) -> str | None:
    """major.minor of an interpreter, asked from itself; None when it does not run."""
    try:
        answer = subprocess.run(
            [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def make_venv(venv: Path, stamp: dict[str, object]) -> None:
    """Make the environment, or make it anew when its Python is gone or has changed.

    Raises:
        SetupFailed: it cannot be made, or its Python is too old.
    """
    python = venv_python(venv)
    version = version_of(python)
    if version is not None and stamp.get("python") in (None, version):
        if tuple(int(part) for part in version.split(".")) < OLDEST_PYTHON:
            raise SetupFailed(f"{venv}: expected Python 3.11 or newer in it, found {version}.")
        if _has_pip(python):
            return
        _run([str(python), "-m", "ensurepip", "--upgrade"], "pip could not be set up in it")
        return
    need_ensurepip()
    print(f"Making {venv} with Python {'.'.join(map(str, sys.version_info[:3]))} …", flush=True)
    for path in venv.iterdir():
        if path.name == LOCK_NAME:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    stamp.clear()
    _run([sys.executable, "-m", "venv", str(venv)], "the virtual environment could not be made")


def need_ensurepip() -> None:
    """Debian ships the module that makes environments apart: install it as root, else say how."""
    if find_spec("ensurepip") is not None:
        return
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if can_install():
        print(f"Installing Debian's {package}, without which no .venv can be made …", flush=True)
        if apt_install(package):
            return
    raise SetupFailed(
        f"this Python cannot make virtual environments (no module ensurepip)."
        f" On Debian: sudo apt-get install {package}"
    )


def pip_install(venv: Path, arguments: Sequence[str], lock: int) -> None:
    """Run pip in the environment; its own words are shown only when it fails.

    It inherits the lock: should we be killed, the next set-up waits for this pip to end.

    Raises:
        SetupFailed: with the last lines of pip.
    """
    command = [str(venv_python(venv)), "-m", "pip", "install", "--disable-pip-version-check"]
    shows_progress = sys.stdout.isatty()
    last_lines: deque[str] = deque(maxlen=15)
    count = 0
    with subprocess.Popen(
        [*command, "--no-input", "--progress-bar=off", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        pass_fds=() if IS_WINDOWS else (lock,),
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as pip:
        for line in pip.stdout or ():
            if not line.startswith("WARNING"):
                last_lines.append(line.rstrip())
            if shows_progress and line.startswith("Collecting "):
                count += 1
                print(f"\r\033[K  {count} {line.split()[1]}", end="", flush=True)
            elif shows_progress and line.startswith("Installing "):
                print(f"\r\033[K  unpacking {count} packages", end="", flush=True)
    if shows_progress:
        print("\r\033[K", end="", flush=True)
    if pip.returncode != 0:
        shown = "\n  ".join(last_lines)
        raise SetupFailed(
            f"pip could not install the packages:\n  {shown}\n"
            "Nothing was started. Run the same command again: what was loaded is kept."
        )


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[int]:
    """Wait until no other set-up works on the same environment; gives the lock's descriptor."""
    with path.open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
                except OSError:  # it gives up after ten seconds; we do not
                    continue
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _is_ours_unfinished(venv: Path) -> bool:
    return all(path.name == LOCK_NAME for path in venv.iterdir())


def _has_pip(python: Path) -> bool:
    return (
        subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True).returncode == 0
    )


def _run(command: Sequence[str], what_failed: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SetupFailed(f"{what_failed}: {(done.stderr or done.stdout).strip()}")


if __name__ == "__main__":
    sys.exit(main())
