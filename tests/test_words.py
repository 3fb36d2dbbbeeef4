"""Words that are retired stay away: one word has one meaning, and docs/glossary.md has it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.support.pages import ROOT

# Retired word -> what it is called now. An underscore stands for any way to join two words.
RETIRED: Mapping[str, str] = {
    "bell": "wake file",
    "deadly": "crashing",
    "farewell": "connection drain",
    "desk": "record ingest",
    "door": "session",
    "followed_model": "model state",
    "hostile_rows": "probe rows",
    "intake": "stream ingestor",
    "job_slots": "job limit",
    "keeper": "model controller, or writer",
    "lane": "request lock",
    "lifeline": "parent pipe",
    "metrics_book": "training metrics exporter",
    "onlookers": "observers",
    "patient_server": "supervisor",
    "pinned_snapshot": "retry snapshot",
    "put_request": "submit",
    "rehearsal": "dry run",
    "run_mirror": "run exporter",
    "signal_sweep": "signal scan",
    "switch_line": "switch channel",
    "turnstile": "request lock",
    "upkeep": "reconciliation",
    "via_daemon": "daemon client",
    "wellbeing": "worker health",
    "who_asks": "client label",
    "worker_watch": "serving events",
}
PLACES = (
    *("shared/**/*.py", "retrain_service/**/*.py", "api_service/**/*.py", "scripts/**/*.py"),
    *("docs/*.md", "README.md"),
)
ALLOWED = {
    "docs/changelog.md",  # it tells what was before, in the words of before
    "scripts/demo/shop_goods.py",  # goods are called what shops call them
}


@pytest.mark.parametrize("word", sorted(RETIRED))
def test_retired_words_stay_away(word: str) -> None:
    """A second name for one thing makes a reader look for the difference."""
    joined = word.replace("_", "[_ -]?")
    pattern = re.compile(rf"(?<![a-z]){joined}(?![a-z])", re.IGNORECASE)
    files = {path for place in PLACES for path in ROOT.glob(place)}
    assert len(files) > 300

    found = [
        f"{name}:{number}"
        for path in sorted(files)
        if (name := path.relative_to(ROOT).as_posix()) not in ALLOWED
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"{word!r} is now called {RETIRED[word]!r}: {found}"
