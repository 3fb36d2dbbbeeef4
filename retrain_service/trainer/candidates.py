"""Which of a workload's candidates a run may compare. Fits nothing; knows no score."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from shared.errors import SettingsInvalid
from shared.settings.per_model import ModelSettings
from shared.workloads import open_workload
from shared.workloads.contract import Workload
from shared.workloads.training import TrainingSet


def configured_workload(model: ModelSettings) -> Workload:
    """The workload of a model as it is configured.

    Raises:
        SettingsInvalid: no such workload, parameters or candidates.
    """
    workload = open_workload(model.workload, model.parameters)
    if model.training.tune.trials and find_spec("optuna") is None:
        raise SettingsInvalid(
            "training.tune: Optuna is not installed; in the project's folder,"
            " .venv/bin/python -m pip install -e '.[tune]'"
        )
    _check(workload, model.training.candidates)
    return workload


def _check(workload: Workload, chosen: Sequence[str]) -> None:
    unknown = [name for name in chosen if name not in workload.candidate_names]
    if unknown:
        known = ", ".join(workload.candidate_names)
        raise SettingsInvalid(
            f"training.candidates: expected names among {known} (workload {workload.name}),"
            f" found {', '.join(unknown)}."
        )


def candidates_for(workload: Workload, train: TrainingSet, chosen: Sequence[str]) -> list[str]:
    """Those that are compared on these rows, cheapest first; at least one.

    chosen : the setting; empty for all. Who names candidates has them compared even where the
        workload would not think them worth it on these rows.

    Raises:
        SettingsInvalid: the workload does not know one of them.
    """
    _check(workload, chosen)
    if not chosen:
        return list(workload.candidates(train))
    return [name for name in workload.candidate_names if name in chosen]
