"""The workloads by name. A workload is imported only when a model asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from shared.errors import SettingsInvalid
from shared.workloads.contract import Workload

REGISTRY: Mapping[str, str] = {
    "product_recommender": "shared.workloads.product_recommender.workload:ProductRecommender",
    "product_similarity": "shared.workloads.product_similarity.workload:ProductSimilarity",
    "server_metrics": "shared.workloads.server_metrics.workload:ServerMetrics",
    "solar_power": "shared.workloads.solar_power.workload:SolarPower",
    "spare_parts": "shared.workloads.spare_parts.workload:SpareParts",
    "tabular": "shared.workloads.tabular.workload:Tabular",
}

PER_ENTITY: set[str] = {"solar_power"}
"""Workloads with one model per entity; said here so that the API need not import them to know."""


def open_workload(name: str, parameters: Mapping[str, Any]) -> Workload:
    """Make the workload `name` with its parameters.

    Raises:
        SettingsInvalid: no such workload, or it does not take these parameters.
    """
    return workload_class(name)(parameters)


def workload_class(name: str) -> type[Workload]:
    """The class behind a name.

    Raises:
        SettingsInvalid: no such workload.
    """
    if name not in REGISTRY:
        known = ", ".join(sorted(REGISTRY))
        raise SettingsInvalid(f"workload: expected one of {known}, found {name!r}.")
    module_name, _, class_name = REGISTRY[name].partition(":")
    found: type[Workload] = getattr(import_module(module_name), class_name)
    return found
