"""What was synced is there after a power cut, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaigns.faults import FileFaults, Point, built, why_not

_WRITER = """
import os, sys, pathlib
home = pathlib.Path(sys.argv[1])

def synced(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)

for name in ("whole", "half"):
    with (home / name).open("wb", buffering=0) as file:
        file.write(b"first")
        os.fsync(file.fileno())
        if name == "half":
            file.write(b"second")
(home / "never").write_text("never synced")
for name in ("kept", "lost"):
    (home / f"{name}.tmp").write_text("new")
    synced(home / f"{name}.tmp")
    os.replace(home / f"{name}.tmp", home / name)
    if name == "kept":
        synced(home)
(home / "folder").mkdir()
os.unlink(home / "deleted")
(home / "the end").mkdir()
"""
BEFORE = {"kept": "old", "lost": "old", "deleted": "old", "of another one": "old"}


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("power", {"kept": "new", "lost": "old", "lost.tmp": "new", "deleted": "old"}),
        ("power_content", {"kept": "new", "lost": "new", "folder": None}),
    ],
)
def test_a_power_cut_takes_what_was_not_synced(
    tmp_path: Path, kind: str, expected: dict[str, str | None]
) -> None:
    """Else the campaign would let a daemon through that forgets to sync."""
    home = tmp_path / "home"
    home.mkdir()
    for name, content in BEFORE.items():
        (home / name).write_text(content)
    faults = FileFaults(
        built(tmp_path), home, tmp_path / "faults", Point("mkdir /the end", 1, kind)
    )

    subprocess.run(
        [sys.executable, "-c", _WRITER, str(home)],
        env={**os.environ, **faults.environment},
        check=False,
    )
    (home / "of another one").write_text("new")
    faults.end()

    found = {path.name: path.read_text() if path.is_file() else None for path in home.iterdir()}
    always = {"whole": "first", "half": "first", "never": "", "of another one": "new"}
    assert found == always | expected
