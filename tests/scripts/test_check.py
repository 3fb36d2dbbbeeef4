"""The check command repeats few failures once, and calls what passes then by its name: flaky."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import check

ONCE = """
from pathlib import Path

def test_fails_the_first_time():
    mark = Path(__file__).with_name("was-here")
    if not mark.exists():
        mark.touch()
        raise AssertionError("the first time")

def test_passes():
    pass
"""
ALWAYS = "def test_fails_always():\n    raise AssertionError('each time')\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with nothing but tests, checked by a real pytest."""
    run = check.run
    monkeypatch.setattr(check, "ROOT", tmp_path)
    monkeypatch.setattr(check, "LAST_FAILED", tmp_path / ".pytest_cache/v/cache/lastfailed")
    monkeypatch.setattr(check, "CHECKS", ())
    monkeypatch.setattr(check, "in_parallel", lambda: ("--numprocesses", "0"))
    monkeypatch.setattr(
        check, "run", lambda name, command: 0 if name == "data" else run(name, command)
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def test_a_test_that_passes_when_repeated_is_named_as_flaky(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One bad moment must not cost a day's work, and must not pass unseen."""
    (project / "test_once.py").write_text(ONCE)

    assert check.main([]) == 0

    flaky = "Flaky, passed when repeated: test_once.py::test_fails_the_first_time."
    assert flaky in capsys.readouterr().out


def test_a_test_that_fails_again_has_failed(project: Path) -> None:
    (project / "test_always.py").write_text(ALWAYS)
    (project / "test_once.py").write_text(ONCE)

    assert check.main([]) == 1


def test_many_failures_are_no_bad_luck(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "MOST_REPEATED", 0)
    (project / "test_once.py").write_text(ONCE)

    assert check.main([]) == 1
    assert "Flaky" not in capsys.readouterr().out
