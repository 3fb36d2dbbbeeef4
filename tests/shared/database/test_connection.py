"""A connection to write can write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaigns.faults import FileFaults, Point, built, why_not
from tests.support.daemons import ROOT

OPENS_AND_WRITES = """
import os, sqlite3, sys
from pathlib import Path
from shared.database.connection import open_to_write
from shared.database.migrations import Schema
from shared.errors import StorageUnavailable

schema = Schema("test", ("CREATE TABLE t (x INTEGER);",))
try:
    connection = open_to_write(Path(sys.argv[1]), schema)
except StorageUnavailable:
    connection = open_to_write(Path(sys.argv[1]), schema)
connection.execute("INSERT INTO t VALUES (1)")
os._exit(0)  # leaves the log, as a kill does
"""


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
@pytest.mark.parametrize("name", ["t.sqlite", "t.sqlite-wal"])
def test_a_refusal_of_a_moment_does_not_make_a_connection_that_only_reads(
    tmp_path: Path, name: str
) -> None:
    """SQLite would open that file to read, and every later write would be refused."""
    home = tmp_path / "home"
    home.mkdir()
    program = [sys.executable, "-c", OPENS_AND_WRITES, str(home / "t.sqlite")]
    subprocess.run(program, cwd=ROOT, check=True)
    point = Point(f"open /{name}", 1, "ENOSPC")
    faults = FileFaults(built(tmp_path), home, tmp_path / "faults", point)

    done = subprocess.run(
        program, cwd=ROOT, env={"PYTHONPATH": str(ROOT), **faults.environment}, check=False
    )

    assert faults.has_happened
    assert done.returncode == 0
