"""What is removed while the API runs is named at once; what was never there is not missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from api_service.status.missing_files import MissingFiles
from tests.api_service.conftest import serving_config
from tests.support.versions import ServingHome


@pytest.mark.parametrize("removed", ["models", "keys/signing.pub", "run_log.sqlite"])
def test_what_is_removed_is_named_until_it_is_back(home: ServingHome, removed: str) -> None:
    """Health said that all was well while nothing could be verified or shown any more."""
    path, away = home.path / removed, home.path / "away"
    home.store.models_dir.mkdir(exist_ok=True)
    (home.path / "run_log.sqlite").touch()
    missing = MissingFiles(serving_config(home.path))
    assert missing.sentences() == []

    path.rename(away)
    (sentence,) = missing.sentences()
    assert sentence.startswith(f"{path} is gone: ")

    away.rename(path)
    assert missing.sentences() == []


def test_a_home_before_its_first_version_misses_nothing(tmp_path: Path) -> None:
    """The retrain daemon makes keys and run log when it starts, maybe after us."""
    assert MissingFiles(serving_config(tmp_path)).sentences() == []
