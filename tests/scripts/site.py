"""A copy of the project in a folder with a space in its name, with the scripts as a person runs
them. It shares the virtual environment of the tests through HOTFIT_VENV."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from scripts.daemons.network import free_port

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("api_service", "retrain_service", "shared", "scripts", "docs", "requirements.txt")


@dataclass(frozen=True, slots=True)
class Site:
    """One copy; `run` calls a script from a folder that is not the project's."""

    root: Path
    port: int = field(default_factory=free_port)

    @classmethod
    def copy_to(cls, folder: Path) -> Site:
        root = folder / "hot fit"
        root.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, root / name, ignore=ignored)
            else:
                shutil.copy2(source, root / name)
        return cls(root)

    @property
    def home(self) -> Path:
        return self.root / "var"

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("HOTFIT_")}
        return {
            **ours,
            "HOTFIT_VENV": sys.prefix,
            "HOTFIT_PYTHON": sys.executable,
            "HOTFIT_API__PORT": str(self.port),
        }

    def run(
        self, script: str, *arguments: str, timeout_s: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.root / "scripts" / script), *arguments],
            cwd=self.root.parent,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def processes(self) -> list[psutil.Process]:
        """Whatever still runs out of this copy."""
        found = []
        for process in psutil.process_iter(["cwd", "environ", "status"]):
            is_ours = str(self.root) in " ".join((process.info["environ"] or {}).values())
            is_there = str(process.info["cwd"] or "").startswith(str(self.root))
            if (is_ours or is_there) and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found
