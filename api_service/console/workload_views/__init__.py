"""The console's views of single workloads: charts, tables and form fields of their answers.

A view is one file + one line here. It asks the model that serves, as a client would.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from api_service.console.workload_views.base import Asked, WorkView
from shared.errors import HotfitError

if TYPE_CHECKING:
    from api_service.context import Context
    from api_service.serving_slot import ServingSlot

VIEWS: Mapping[str, str] = {
    "product_recommender": "product_view",
    "product_similarity": "product_view",
    "server_metrics": "fleet_view",
    "solar_power": "solar_view",
    "spare_parts": "parts_view",
}
"""Workload -> module; any other workload shows its held-out rows."""

_ANY = "rows_view"


def view(context: Context, slot: ServingSlot, query: Mapping[str, str]) -> WorkView | None:
    """None when nothing serves, or when the workload has nothing to show."""
    live = slot.live
    if live is None:
        return None
    name = VIEWS.get(live.manifest.workload, _ANY)
    module = import_module(f"api_service.console.workload_views.{name}")
    try:
        found: WorkView | None = module.view(Asked(context, live, query))
    except HotfitError as error:
        return WorkView("What it answers", str(error))
    return found
