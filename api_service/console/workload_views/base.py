"""The values that a workload's console view takes and returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api_service.console.charts.drawing import Picture
from api_service.context import computing
from shared.versions.holdout_sample import HoldoutSample, read_sample

if TYPE_CHECKING:
    from api_service.context import Context
    from shared.loading.open_version import LoadedModel


@dataclass(frozen=True, slots=True)
class Choice:
    """A field of the form above the view: one of `options`, or any text where there are none."""

    name: str
    label: str
    chosen: str
    options: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """columns : (heading, whether its cells are numbers). rows : cells as text."""

    caption: str
    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class WorkView:
    title: str
    text: str
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    choices: Sequence[Choice] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a view: the model that serves, and what was chosen."""

    context: Context
    live: LoadedModel
    query: Mapping[str, str]

    def answer(self, question: str, request: Mapping[str, Any]) -> dict[str, Any]:
        with computing():
            return self.live.answerer.answer(question, request, self.context.clock())

    def one_of(self, name: str, options: Sequence[str]) -> str:
        """What was chosen, or the first there is."""
        wanted = self.query.get(name, "")
        return wanted if wanted in options else (options[0] if options else "")

    def sample(self) -> HoldoutSample | None:
        manifest = self.live.manifest
        return read_sample(self.context.store.version_dir(manifest.model, manifest.version))
