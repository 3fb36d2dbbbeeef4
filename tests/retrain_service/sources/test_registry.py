"""Kinds are imported only when asked for; a driver that is missing is named with its extra."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from retrain_service.sources import EXTRAS, open_source
from shared.errors import SourceMisconfigured
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

ROOT = Path(__file__).parents[3]
URLS = {
    "mongodb": ("pymongo", "mongodb://host/shop"),
    "elasticsearch": ("elasticsearch", "http://host:9200"),
    "http_export": ("httpx", "http://host/export"),
    "prometheus": ("httpx", "http://host:9090"),
}


@pytest.mark.parametrize("kind", EXTRAS)
def test_a_missing_driver_is_a_sentence_with_the_extra_that_brings_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who installs Hotfit for one database should not need the drivers of all."""
    driver, url = URLS[kind]
    for name in [each for each in sys.modules if f"retrain_service.sources.{kind[:5]}" in each]:
        monkeypatch.delitem(sys.modules, name)
    for name in [each for each in sys.modules if each.partition(".")[0] == driver]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, driver, None)

    with pytest.raises(SourceMisconfigured) as missing:
        open_source(SourceSettings.model_validate({"kind": kind, "url": url}), StreamSettings())

    assert driver in str(missing.value)
    assert f"pip install -e '.[{EXTRAS[kind]}]'" in str(missing.value)


def test_every_extra_is_declared() -> None:
    """The sentence must not name an extra that pip does not know."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert set(EXTRAS.values()) <= project["optional-dependencies"].keys()
