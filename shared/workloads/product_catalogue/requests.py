"""Decode what clients ask about products, with errors that say what was expected and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import RequestInvalid

DEFAULT_N, MAX_N = 5, 50
MAX_INSTANCES = 10_000


def refuse_unknown(
    request: Mapping[str, Any], known: Sequence[str], where: str = "request"
) -> None:
    """Raises RequestInvalid when a field is not one of `known`."""
    unexpected = [name for name in request if name not in known]
    if unexpected:
        raise RequestInvalid(f"only the fields {list(known)}", {"unexpected": unexpected}, where)


def how_many(request: Mapping[str, Any]) -> int:
    """`n`: how many products to answer with."""
    n = request.get("n", DEFAULT_N)
    # bool is an int to Python, not to a client.
    if type(n) is int and 1 <= n <= MAX_N:
        return n
    raise RequestInvalid(f"a whole number from 1 to {MAX_N}", n, "n")


def id_of(request: Mapping[str, Any], name: str, where: str = "") -> str:
    """A product's or user's id: text, or a whole number as some databases keep it."""
    value = request.get(name)
    if type(value) is int:
        return str(value)
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise RequestInvalid("an id as text", value, where or name)


def yes_or_no(request: Mapping[str, Any], name: str) -> bool:
    """A boolean that is false when it is not given."""
    value = request.get(name, False)
    if isinstance(value, bool):
        return value
    raise RequestInvalid("true or false", value, name)


def ids_of_instances(request: Mapping[str, Any], name: str) -> list[str]:
    """The ids of a `predict` request: {"instances": [{name: id}, …]}.

    Raises:
        RequestInvalid: not such a list; the message is a diff of the fields.
    """
    instances = request.get("instances")
    if not isinstance(instances, list) or not 1 <= len(instances) <= MAX_INSTANCES:
        expected = f"a list of 1 to {MAX_INSTANCES:,} objects, one per row"
        raise RequestInvalid(expected, instances, "instances")
    ids = []
    for i, row in enumerate(instances):
        where = f"instances[{i}]"
        if not isinstance(row, Mapping):
            raise RequestInvalid("an object with one field per feature", row, where)
        if set(row) != {name}:
            unexpected = [field for field in row if field != name]
            missing = [name] if name not in row else []
            found = {"missing": missing, "unexpected": unexpected}
            raise RequestInvalid(f"the fields {[name]}", found, where)
        ids.append(id_of(row, name, f"{where}.{name}"))
    return ids
