"""Routes of one model: `<model>` and `<model>/<entity>` under the same suffix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

# A model's own sub-routes; no entity has such a name, so "GET /models/m/predict" asks for a
# method that the route does not take rather than for an entity.
_SUB_ROUTES: dict[str, set[str]] = {}


def model_route(
    blueprint: Blueprint, method: str, suffix: str
) -> Callable[[Callable[[str], ResponseReturnValue]], Callable[[str], ResponseReturnValue]]:
    """Register a view that takes the model's whole name, slash and all."""
    if suffix:
        _SUB_ROUTES.setdefault(suffix.removeprefix("/").partition("/")[0], set()).add(method)

    def register(view: Callable[[str], ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
        def of_model(model: str, entity: str | None = None) -> ResponseReturnValue:
            if not suffix and entity in _SUB_ROUTES:
                raise MethodNotAllowed(sorted(_SUB_ROUTES[entity]))
            return view(model if entity is None else f"{model}/{entity}")

        of_model.__dict__.update(view.__dict__)  # the marks of access
        name = view.__name__
        options: dict[str, Any] = {"methods": [method], "view_func": of_model}
        blueprint.add_url_rule(f"/models/<model>{suffix}", endpoint=name, **options)
        blueprint.add_url_rule(
            f"/models/<model>/<entity>{suffix}", endpoint=f"{name}_of_entity", **options
        )
        return view

    return register
