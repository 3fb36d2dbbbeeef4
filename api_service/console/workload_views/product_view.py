"""Console view of the product workloads: popular, recommended and similar products, with names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api_service.console.formatting import figure
from api_service.console.workload_views.base import Asked, Choice, Table, WorkView
from shared.errors import AnswerClient

_MOST = 10


def view(asked: Asked) -> WorkView:
    questions = asked.live.answerer.questions
    tables: list[Table] = []
    choices: list[Choice] = []
    said: list[str] = []
    product = asked.query.get("product", "").strip()
    if "popular" in questions:
        popular = asked.answer("popular", {"n": _MOST})["recommendations"]
        tables.append(_table("What most customers met recently", popular))
        product = product or (popular[0]["product_id"] if popular else "")
    if "for_user" in questions:
        user = asked.query.get("user", "").strip()
        choices.append(Choice("user", "Customer", user))
        if user:
            found = asked.answer("for_user", {"user_id": user, "n": _MOST})
            tables.append(
                _table(f"What suits {user} (by {found['basis']})", found["recommendations"])
            )
    choices.append(Choice("product", "Product", product))
    if product:
        try:
            found = asked.answer("similar", {"product_id": product, "n": _MOST})
        except AnswerClient as error:
            said.append(str(error))
        else:
            tables.append(_table(f"What is like {product}", found["recommendations"]))
    text = " ".join(said) or "Ask for a customer or a product by its id."
    return WorkView("Recommendations", text, tables=tables, choices=choices)


def _table(caption: str, found: Sequence[dict[str, Any]]) -> Table:
    """Whatever fields the catalogue shows; the id, the name and the score first."""
    first = ("product_id", "name", "title", "score")
    names = [name for name in first if any(name in one for one in found)]
    names += [name for name in (found[0] if found else ()) if name not in names][:3]
    columns = [(name.replace("_", " "), _is_number(found, name)) for name in names]
    rows = [[figure(one.get(name), 4) for name in names] for one in found]
    return Table(caption, columns, rows)


def _is_number(found: Sequence[dict[str, Any]], name: str) -> bool:
    return all(isinstance(one.get(name), (int, float)) for one in found)
