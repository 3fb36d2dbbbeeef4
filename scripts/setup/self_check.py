"""Import every module of both daemons, so that code which cannot start is found before it must.

Starts nothing, reads no setting and opens no model. A package that is not installed is a fault
only where a daemon begins: elsewhere it may be an extra, such as a source's driver, and is missed
by who uses it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("shared", "retrain_service", "api_service")
BEGINNINGS = (
    "api_service.__main__",
    "api_service.worker.worker",
    "retrain_service.cli",
    "retrain_service.commands.daemon",
    "retrain_service.commands.once",
)


def main() -> int:
    """0 when all can be imported; 1 when not, with a line for each module on standard error."""
    faults = list(find_faults(PACKAGES))
    for fault in faults:
        print(f"self-check: {fault}", file=sys.stderr)
    return 1 if faults else 0


def find_faults(packages: Sequence[str]) -> Iterator[str]:
    """A sentence for each module that cannot be imported: which, why, and on which line."""
    for package in packages:
        if fault := _fault_of(package):
            yield fault
            continue
        paths = sys.modules[package].__path__
        # Asked for its modules, pkgutil imports the packages below, and is silent by `onerror`.
        for module in pkgutil.walk_packages(paths, f"{package}.", onerror=lambda _name: None):
            if fault := _fault_of(module.name):
                yield fault


def _fault_of(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in PACKAGES and module not in BEGINNINGS:
            return None
        return f"{module} cannot be imported: {error}"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a module may raise
        return f"{module} cannot be imported: {type(error).__name__}: {error}{_place_of(error)}"
    return None


def _place_of(error: BaseException) -> str:
    """The last line of ours that was reached; a syntax error names its own."""
    if isinstance(error, SyntaxError):
        return ""
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(ROOT) and frame.filename != __file__
    ]
    return f" ({Path(ours[-1].filename).relative_to(ROOT)}:{ours[-1].lineno})" if ours else ""


if __name__ == "__main__":
    sys.exit(main())
