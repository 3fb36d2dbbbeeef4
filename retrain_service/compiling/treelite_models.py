"""Hold what treelite imported until it is written, and import it. Training process only.

Knows neither scikit-learn nor any library that boosts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from retrain_service.compiling.columns import NotLowered
from shared.forms.stored_form import AnomalyAnswers, Classes, Numeric
from shared.versions.staged_files import StagedFiles
from shared.versions.version_files import COMPILED_NAME


@dataclass(frozen=True, slots=True)
class LoweredTrees:
    """models : as treelite holds them, not yet written. The rest is as in `trees.Trees`.

    is_rounded : the estimator adds up in single precision, so equality is to that.
    """

    models: tuple[Any, ...]
    kind: str
    in_single_precision: bool
    answers: Numeric | Classes | AnomalyAnswers
    is_rounded: bool = False

    def write(self, staged: StagedFiles) -> tuple[str, ...]:
        names = tuple(f"trees-{i}.treelite" for i in range(len(self.models)))
        for name, model in zip(names, self.models, strict=True):
            staged.write(f"{COMPILED_NAME}/{name}", model.serialize_bytes())
        return names


def imported_by(reader: str, model: Any) -> Any:
    """The model by one of treelite's readers: import_model (scikit-learn), from_xgboost, …

    Raises:
        NotLowered: treelite does not read it.
    """
    import treelite.frontend  # heavy: brings scipy
    import treelite.sklearn

    read = getattr(treelite.sklearn if reader == "import_model" else treelite.frontend, reader)
    try:
        return read(model)
    except (NotImplementedError, AssertionError, ValueError, treelite.TreeliteError) as error:
        said = str(error).splitlines()[0] if str(error) else repr(error)
        raise NotLowered(f"treelite: {said}") from None
