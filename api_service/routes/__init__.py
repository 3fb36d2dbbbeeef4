"""One file per concern; each makes its blueprint from the worker's context."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint

from api_service.context import Context
from api_service.routes import (
    aliases,
    console,
    feed,
    fleet,
    forecast,
    health,
    inference_v2,
    metrics,
    models,
    openapi,
    predict,
    recommendations,
    repository_v2,
    training,
)

BLUEPRINTS: tuple[Callable[[Context], Blueprint], ...] = (
    health.blueprint,
    predict.blueprint,
    inference_v2.blueprint,
    repository_v2.blueprint,
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
