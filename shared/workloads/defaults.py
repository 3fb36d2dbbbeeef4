"""Lay the settings of a model's gate and triggers over the defaults of its workload.

Reads no file: the settings come in as they were read. What the user set always counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from shared.settings.per_model import GateSettings, ModelSettings, TriggerSettings
from shared.settings.sections import Section
from shared.workloads import workload_class

S = TypeVar("S", bound=Section)


def gate_of(model: ModelSettings) -> GateSettings:
    """What a candidate of this model must show.

    Raises:
        SettingsInvalid: no such workload.
    """
    return _laid_over(workload_class(model.workload).gate_defaults, model.gate)


def triggers_of(model: ModelSettings) -> TriggerSettings:
    """When this model is trained.

    Raises:
        SettingsInvalid: no such workload.
    """
    return _laid_over(workload_class(model.workload).trigger_defaults, model.triggers)


def _laid_over(defaults: Mapping[str, Any], given: S) -> S:
    changes = {
        name: value for name, value in defaults.items() if name not in given.model_fields_set
    }
    return given.model_copy(update=changes)
