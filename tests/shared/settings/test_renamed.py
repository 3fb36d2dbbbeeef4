"""Settings under their former names."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.settings.renamed import warn_of_former_names
from shared.settings.root import load_settings

MODEL = """
[sources.s]
kind = "sql"
url = "sqlite:///x.db"
[models.m]
workload = "tabular"
source = "s"
[models.m.gate]
"""


@pytest.mark.parametrize(
    ("lines", "old", "new", "expected"),
    [
        ("[api]\ntake_turns = false", "take_turns", "batch_scheduling", False),
        (
            "[api]\ntake_turns = false\nbatch_scheduling = true",
            "take_turns",
            "batch_scheduling",
            True,
        ),
        (f"{MODEL}patience_days = 9", "patience_days", "max_undecided_days", 9),
    ],
)
def test_a_former_name_is_read_and_named_once(
    tmp_path: Path, lines: str, old: str, new: str, expected: object
) -> None:
    """A configuration of the release before starts the daemon as it did; the new name wins."""
    file = tmp_path / "hotfit.toml"
    file.write_text(f"{lines}\n")
    warn_of_former_names()

    settings = load_settings(file)

    section = settings.models["m"].gate if settings.models else settings.api
    assert getattr(section, new) == expected
    with capture_logs() as logs:
        warn_of_former_names()
        warn_of_former_names()
    assert [line["event"] for line in logs] == ["setting_renamed"]
    assert f"{old} is now called {new}" in logs[0]["sentence"]
