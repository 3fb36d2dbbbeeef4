"""One file per concern; each makes its blueprint from the worker's context."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint

from api_service.context import Context
from api_service.routes import (
    aliases,
    feed,
    fleet,
    forecast,
    health,
    models,
    predict,
    recommendations,
    training,
)

BLUEPRINTS: tuple[Callable[[Context], Blueprint], ...] = (
    health.blueprint,
    predict.blueprint,
    models.blueprint,
    training.blueprint,
    forecast.blueprint,
    recommendations.blueprint,
    feed.blueprint,
    fleet.blueprint,
    aliases.blueprint,
)
