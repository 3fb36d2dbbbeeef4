"""Presets: a configuration each in scripts/presets, most with embedded demo data to look at.

A preset with demo data names a module here that has `prepare(settings, now)`, which fills what
is not there yet and returns a sentence about it, and `questions(settings, now)`, which returns
what to ask the API: (path, JSON body or None for a GET). Knows no workload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from shared.settings.root import Settings

FOLDER = Path(__file__).resolve().parent.parent / "presets"
DEFAULT = "spare_parts"
"""What runs when there is no hotfit.toml."""

DEMO_DATA: Mapping[str, str] = {
    "product_recommender": "scripts.demo.shop",
    "product_similarity": "scripts.demo.shop",
    "server_metrics": "scripts.demo.servers",
    "solar_power": "scripts.demo.solar",
    "spare_parts": "scripts.demo.seed",
    "tabular": "scripts.demo.tabular",
}
"""Preset -> module that fills its demo data; a preset without is not listed."""

Question = tuple[str, Mapping[str, Any] | None]


class DemoData(Protocol):
    """What a module of DEMO_DATA has."""

    def prepare(self, settings: Settings, now: datetime) -> str | None:
        """Fill what is not there yet; a sentence about it, None when nothing was to do."""

    def questions(self, settings: Settings, now: datetime) -> list[Question]:
        """What to ask the API; empty when nothing can be asked before it knows more."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One of the files. is_asked: by name; else it stands in for a hotfit.toml."""

    name: str
    is_asked: bool = True

    @property
    def config(self) -> Path:
        return FOLDER / f"{self.name}.toml"

    @property
    def option(self) -> str:
        """What to add to stop, status and start, so that they mean this preset."""
        return f" --preset {self.name}" if self.is_asked else ""

    def demo_data(self) -> DemoData | None:
        module = DEMO_DATA.get(self.name)
        return import_module(module) if module is not None else None


def names() -> list[str]:
    """All presets there are."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))
