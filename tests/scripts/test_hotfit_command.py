"""One command for everything, from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.setup.launcher import write_launcher
from tests.support.pages import ROOT


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "hotfit start | stop | status"),
        (["stop", "--help"], 0, "ask, wait ten seconds"),
        (["runs"], 0, "no runs."),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["--config", "mine.toml", "runs"], 0, "no runs."),
    ],
)
def test_every_command_has_one_name(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    python = tmp_path / "an environment" / Path(sys.executable).name
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    launcher = write_launcher(python, ROOT)
    name = "mine.toml" if "mine.toml" in arguments else "hotfit.toml"
    (tmp_path / name).write_text(f'home = "{tmp_path.as_posix()}/home"\n')
    search = os.pathsep.join(path for path in sys.path if path)

    ended = subprocess.run(
        [str(launcher), *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == code, ended.stdout + ended.stderr
    assert words in ended.stdout + ended.stderr
    before = launcher.stat().st_mtime_ns
    assert write_launcher(python, ROOT).stat().st_mtime_ns == before
