"""Settings under their former names."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.settings.renamed import warn_of_former_names
from shared.settings.root import load_settings


@pytest.mark.parametrize(
    ("lines", "expected"),
    [("take_turns = false", False), ("take_turns = false\nbatch_scheduling = true", True)],
)
def test_a_former_name_is_read_and_named_once(tmp_path: Path, lines: str, expected: bool) -> None:
    """A configuration of the release before starts the daemon as it did; the new name wins."""
    file = tmp_path / "hotfit.toml"
    file.write_text(f"[api]\n{lines}\n")

    settings = load_settings(file)

    assert settings.api.batch_scheduling is expected
    with capture_logs() as logs:
        warn_of_former_names()
        warn_of_former_names()
    assert [line["event"] for line in logs] == ["setting_renamed"]
    assert "take_turns is now called batch_scheduling" in logs[0]["sentence"]
