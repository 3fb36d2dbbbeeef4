"""Register a view for one model under `<model>` and `<model>/<entity>` with the same suffix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue
from werkzeug.routing import BaseConverter

# A model's own sub-routes: no entity is asked for under such a name, so "GET /models/m/predict"
# asks for a method that the route does not take rather than for an entity.
_SUB_ROUTES = (
    *("confirm-deletions", "events", "hold", "infer", "live", "predict", "ready", "records"),
    *("rejected", "release", "reload", "rollback", "stats", "train", "training", "versions"),
)


class EntityConverter(BaseConverter):
    """What follows a model's name where a sub-route might."""

    regex = f"(?!(?:{'|'.join(_SUB_ROUTES)})$)[^/]+"


def know_entities(blueprint: Blueprint) -> None:
    """Let the rules of a blueprint say `<entity:entity>`."""
    converters: dict[str, type[BaseConverter]] = {"entity": EntityConverter}
    blueprint.record(lambda state: state.app.url_map.converters.update(converters))


def without_entity(rule: str) -> str:
    """The rule of the model itself."""
    return rule.replace("/<entity:entity>", "").replace("/<entity>", "")


_ENTITY_RULE = "/models/<model>/<entity:entity>"


def model_route(
    blueprint: Blueprint, method: str, suffix: str
) -> Callable[[Callable[[str], ResponseReturnValue]], Callable[[str], ResponseReturnValue]]:
    """Register a view that takes the model's whole name, slash and all."""
    sub_route = suffix.removeprefix("/").partition("/")[0]
    assert not sub_route or sub_route in _SUB_ROUTES, f"{suffix} would be taken for an entity"

    def register(view: Callable[[str], ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
        def of_model(model: str, entity: str | None = None) -> ResponseReturnValue:
            return view(model if entity is None else f"{model}/{entity}")

        of_model.__dict__.update(view.__dict__)  # the marks of access
        name = view.__name__
        options: dict[str, Any] = {"methods": [method], "view_func": of_model}
        blueprint.add_url_rule(f"/models/<model>{suffix}", endpoint=name, **options)
        know_entities(blueprint)
        entity_rule = f"/models/<model>/<entity>{suffix}" if suffix else _ENTITY_RULE
        blueprint.add_url_rule(entity_rule, endpoint=f"{name}_of_entity", **options)
        return view

    return register
