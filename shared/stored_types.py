"""Name the classes of ours that are written into versions by tags that outlive every move.

A version stores a tag, never the path of a module. A class is imported when a version that holds
one is opened, not before. The path of this file is stored, too (pickles name `rebuild`), and never
changes.

A class of ours that a version may hold gets a tag here; one that is pickled sets
`__reduce__ = reduced` besides. Fields are added with a default and never renamed; a class that
must change otherwise gets a tag with the next number, and the old tag stays with what reads it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

import msgspec

from shared.errors import LoadFailed

TAGS: Mapping[str, str] = {
    "plan/1": "shared.forms.preprocessing_plan:Plan",
    "plan_numbers/1": "shared.forms.preprocessing_plan:Numbers",
    "plan_step/1": "shared.forms.preprocessing_plan:Step",
    "plan_table/1": "shared.forms.preprocessing_plan:Table",
    "input_mask/1": "shared.forms.input_mask:InputMask",
    "linear/1": "shared.forms.linear:Linear",
    "trees/1": "shared.forms.trees:Trees",
    "process/1": "shared.forms.process.form:Processed",
    "regressor/1": "shared.forms.stored_form:Numeric",
    "classifier/1": "shared.forms.stored_form:Classes",
    "anomaly_detector/1": "shared.forms.stored_form:AnomalyAnswers",
    "linear_form/1": "shared.forms.stored_form:LinearForm",
    "trees_form/1": "shared.forms.stored_form:TreesForm",
    "onnx_form/1": "shared.forms.onnx:OnnxForm",
    "process_form/1": "shared.forms.stored_form:ProcessForm",
    "data_form/1": "shared.forms.stored_form:DataForm",
    "feature/1": "shared.workloads.rows:FeatureSpec",
    "row_contract/1": "shared.workloads.rows:RowContract",
    "tabular_estimator/1": "shared.workloads.tabular.model:TabularEstimator",
    "fleet_forecaster/1": "shared.workloads.server_metrics.model:FleetForecaster",
    "metric_forecaster/1": "shared.workloads.server_metrics.model:MetricForecaster",
    "metric_model/1": "shared.workloads.server_metrics.model:MetricModel",
    "server_cycles/1": "shared.workloads.server_metrics.cycles:Cycles",
    "boosted_trees/1": "shared.workloads.server_metrics.regressors:Boosted",
    "similarity/1": "shared.workloads.product_catalogue.similarity:Similarity",
    "demand/1": "shared.workloads.spare_parts.model:DemandModel",
    "power/1": "shared.workloads.solar_power.power_model:PowerModel",
    "power_forest/1": "shared.workloads.solar_power.power_model:Forest",
    "blend/1": "shared.workloads.product_recommender.model:Blend",
}
"""Tag -> module:class of today. What is stored under a tag stays readable; paths here follow."""

OLD_PATHS: Mapping[str, str] = {
    "shared.compiled.plan:Plan": "plan/1",
    "shared.compiled.plan:Numbers": "plan_numbers/1",
    "shared.compiled.plan:Step": "plan_step/1",
    "shared.compiled.plan:Table": "plan_table/1",
    "shared.compiled.admission:Admission": "input_mask/1",
    "shared.compiled.linear:Linear": "linear/1",
    "shared.compiled.trees:Trees": "trees/1",
    "shared.compiled.processed:Processed": "process/1",
    "shared.compiled.forms:Numeric": "regressor/1",
    "shared.compiled.forms:Classes": "classifier/1",
    "shared.compiled.forms:Unusual": "anomaly_detector/1",
    "shared.compiled.forms:LinearForm": "linear_form/1",
    "shared.compiled.forms:TreesForm": "trees_form/1",
    "shared.compiled.onnx_session:OnnxForm": "onnx_form/1",
    "shared.compiled.forms:ProcessForm": "process_form/1",
    "shared.compiled.forms:OwnForm": "data_form/1",
    "shared.workloads.base:FeatureSpec": "feature/1",
    "shared.workloads.base:RowContract": "row_contract/1",
    "shared.workloads.tabular.estimator:TabularEstimator": "tabular_estimator/1",
    "shared.workloads.server_metrics.forecaster:FleetForecaster": "fleet_forecaster/1",
    "shared.workloads.server_metrics.forecaster:MetricForecaster": "metric_forecaster/1",
    "shared.workloads.product_catalogue.likeness:Likeness": "similarity/1",
    "shared.workloads.product_recommender.blend:Blend": "blend/1",
}
"""What release 0.1.0 called a class, in form.json of format 1 and in pickles -> its tag.

Never changes. It stays for as long as somebody may still have a version of that release.
"""

_log = logging.getLogger(__name__)
_renaming = threading.RLock()


def tag_of(kind: type) -> str | None:
    """The tag of a class; None where it has none and must not be stored."""
    path = f"{kind.__module__}:{kind.__qualname__}"
    return next((tag for tag, there in TAGS.items() if there == path), None)


def class_of(tag: str) -> type[Any]:
    """The class that a tag stands for today.

    Raises:
        LoadFailed: this release knows no such tag.
    """
    path = TAGS.get(tag)
    if path is None:
        raise LoadFailed(f"expected a stored type that this release knows, found {tag!r}.")
    module, _, name = path.partition(":")
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found


def field_names(kind: type[Any]) -> tuple[str, ...]:
    """What is stored of a value of ours, in the order of the constructor."""
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    return tuple(field.name for field in dataclasses.fields(kind))


def rebuild(tag: str, fields: Mapping[str, Any]) -> Any:
    """The value that was stored under a tag. Pickles name this function.

    A field that the class does not have, of a later release, is left out and noted in the log;
    one that is missing takes the default of the class.

    Raises:
        LoadFailed: no such tag, or a field without a default is missing.
    """
    kind = class_of(tag)
    names = field_names(kind)
    unknown = sorted(fields.keys() - set(names))
    if unknown:
        _note(tag, ", ".join(unknown))
    missing = [name for name in names if name not in fields and name in _required(kind)]
    if missing:
        raise LoadFailed(f"{tag}: expected the field {missing[0]!r}, which is not stored.")
    return kind(**{name: fields[name] for name in names if name in fields})


def reduced(value: Any) -> tuple[Any, tuple[str, dict[str, Any]]]:
    """`__reduce__` of the classes of ours that are pickled."""
    tag = tag_of(type(value))
    if tag is None:
        raise TypeError(f"{type(value).__qualname__} has no tag in {__name__}")
    return rebuild, (tag, {name: getattr(value, name) for name in field_names(type(value))})


@contextlib.contextmanager
def old_names() -> Iterator[None]:
    """While it lasts, what a pickle of an earlier release names is found where it is today.

    Every unpickling of a version stands in it. Any thread; one at a time.
    """
    with _renaming:
        names = [n for n in _moved_modules() if not isinstance(sys.modules.get(n), _OldModule)]
        stand_ins = [_OldModule(name) for name in names]
        before = {module.__name__: sys.modules.get(module.__name__) for module in stand_ins}
        sys.modules.update({module.__name__: module for module in stand_ins})
        try:
            yield
        finally:
            for name, module in before.items():
                if module is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = module


class _OldModule(ModuleType):
    """Stands where a class was: gives the class of today under its old name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        try:
            self._module: ModuleType | None = importlib.import_module(name)
        except ModuleNotFoundError:
            self._module = None

    def __getattr__(self, name: str) -> Any:
        tag = OLD_PATHS.get(f"{self.__name__}:{name}")
        if tag is not None:
            return class_of(tag)
        if self._module is None:
            raise AttributeError(f"module {self.__name__} has no attribute {name}")
        return getattr(self._module, name)


def _moved_modules() -> list[str]:
    """Modules that some class has left since its name was stored."""
    moved = {path.partition(":")[0] for path, tag in OLD_PATHS.items() if TAGS[tag] != path}
    return sorted(moved)


def _required(kind: type[Any]) -> frozenset[str]:
    """Fields without a default."""
    if issubclass(kind, msgspec.Struct):
        return frozenset(field.name for field in msgspec.structs.fields(kind) if field.required)
    nothing = dataclasses.MISSING
    return frozenset(
        field.name
        for field in dataclasses.fields(kind)
        if field.default is nothing and field.default_factory is nothing
    )


@cache
def _note(tag: str, names: str) -> None:
    """Once in each process, however many versions hold them."""
    _log.warning(
        "a stored %s has fields that this release does not know, left out: %s.", tag, names
    )
