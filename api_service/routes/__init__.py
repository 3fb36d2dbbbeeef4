"""One file per concern; each makes its blueprint from the worker's context."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint

from api_service.context import Context
from api_service.routes import (
    aliases,
    console,
    feed,
    health,
    metrics,
    models,
    openapi,
    predict,
    training,
)
from api_service.routes.v2 import inference, repository
from api_service.routes.workloads import fleet, forecast, recommendations

BLUEPRINTS: tuple[Callable[[Context], Blueprint], ...] = (
    health.blueprint,
    predict.blueprint,
    inference.blueprint,
    repository.blueprint,
    metrics.blueprint,
    models.blueprint,
    training.blueprint,
    forecast.blueprint,
    recommendations.blueprint,
    feed.blueprint,
    fleet.blueprint,
    aliases.blueprint,
    openapi.blueprint,
    console.blueprint,
)
