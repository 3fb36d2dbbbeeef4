"""Pin every package, and the digest of each of its files, from what pyproject.toml asks for.

    .venv/bin/pip install uv
    .venv/bin/python scripts/pin_packages.py             # after a change of pyproject.toml
    .venv/bin/python scripts/pin_packages.py --upgrade   # to the newest that fit

One resolution for every platform and each Python from 3.11 on. What is pinned already stays, but
with --upgrade. Knows no daemon.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOW = (
    "# Made of pyproject.toml by scripts/pin_packages.py; pip installs nothing with another digest."
)

# In this order: what is developed with must go together with what runs.
FILES: dict[str, tuple[str, ...]] = {
    "requirements.txt": (),
    "requirements-dev.txt": ("--group", "dev", "--constraints", "requirements.txt"),
    "tests/requirements-data.txt": ("--group", "test-data", "--no-deps"),
    "tests/requirements-clients.txt": ("--group", "test-clients", "--no-deps"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--upgrade", action="store_true", help="to the newest that fit")
    wanted = parser.parse_args(arguments)
    for name, options in FILES.items():
        project = () if "--no-deps" in options else ("pyproject.toml",)
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", *project, *options),
            *("--universal", "--python-version", "3.11", "--generate-hashes"),
            *("--no-header", "--no-emit-index-url", "--quiet", "--output-file", name),
            *(("--upgrade",) if wanted.upgrade else ()),
        ]
        done = subprocess.run(command, cwd=ROOT)
        if done.returncode != 0:
            print(f"pin_packages: {name} was not made.", file=sys.stderr)
            return done.returncode
        path = ROOT / name
        path.write_text(f"{HOW}\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
