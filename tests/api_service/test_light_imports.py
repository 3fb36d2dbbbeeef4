"""What a serving process does not import, it does not pay for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.daemons import ROOT

PROGRAM = """
import sys
import {module}
heavy = {{"pandas", "sklearn", "joblib", "scipy", "pyarrow", "duckdb", "sqlalchemy", *{also}}}
print(sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("module", "also"),
    [
        # The worker reads no settings; the main process serves nothing and opens no model, and has
        # the settings read elsewhere.
        ("api_service.worker.worker", ["pydantic", "granian"]),
        ("api_service.__main__", ["flask", "numpy", "pydantic", "rich"]),
        ("api_service.worker.entry", ["flask", "numpy", "pydantic"]),
    ],
)
def test_importing_the_api_brings_nothing_heavy(module: str, also: list[str]) -> None:
    """Start-up time and memory are paid once a worker, for as long as it lives."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module, also=also)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "[]"
