"""Reasons for which a record cannot become a training row, as sentences."""

from __future__ import annotations

import msgspec

from shared.documents.numbers import Unread, why_no_number
from shared.workloads.tabular.columns import (
    Dtype,
)
from shared.workloads.tabular.parameters import TabularParameters
from shared.workloads.tabular.records import is_missing, read_number, read_text


def no_target(name: str) -> str:
    return f"no {name}"


def no_number(name: str) -> str:
    return f"{name} is no number"


def no_value(name: str) -> str:
    return f"{name} is a list or an object"


def no_label(name: str) -> str:
    return f"{name} is no label: neither a text nor a whole number nor true or false"


def unusable_target(value: object, parameters: TabularParameters) -> str | None:
    """Why nothing can be learnt from a record with this target; None when something can."""
    task = parameters.known_task
    is_empty = isinstance(value, str) and (
        is_missing(value) if task == "regression" else not value.strip()
    )
    if value is None or value is msgspec.UNSET or is_empty:
        return no_target(parameters.target)
    if task is None:  # a text may be a label yet
        return no_value(parameters.target) if isinstance(value, (list, dict)) else None
    if task == "classification":
        is_label = read_text(value) is not None
        is_fraction = isinstance(value, float) and not value.is_integer()
        return None if is_label and not is_fraction else no_label(parameters.target)
    return no_number(parameters.target) if _is_no_number(value) else None


def unusable_cell(name: str, value: object, dtype: Dtype | None) -> str | None:
    """The same of a feature; `dtype` is None where it is not known yet."""
    if value is None or value is msgspec.UNSET:
        return None
    if isinstance(value, (list, dict)) and (dtype == "category" or _is_no_number(value)):
        return no_value(name)
    if dtype in (None, "category", "text"):
        return None
    return no_number(name) if _is_no_number(value) else None


def _is_no_number(value: object) -> bool:
    """A number that can be read two ways is one: its column says which."""
    return read_number(value) is None and why_no_number(value) is not Unread.AMBIGUOUS
