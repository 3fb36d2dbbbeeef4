"""url map + operations -> OpenAPI 3.1. A route without an operation is shown by its docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
from flask import Flask
from werkzeug.routing import Rule

from api_service.schemas.common import Problem, ProtocolError
from api_service.schemas.operation import JSON, PROBLEM, Answer, Body, Operation
from api_service.schemas.operations import OPERATIONS
from api_service.web.auth import is_for_sessions, needed_role
from api_service.web.model_urls import without_entity
from shared.keys.api_keys import Role

_ARGUMENT = re.compile(r"<(?:(?P<kind>\w+)(?:\([^)]*\))?:)?(?P<name>\w+)>")
_REF = "#/components/schemas/{name}"
_WHEN: Mapping[int, str] = {
    400: "the request is not what the route takes",
    401: "a key is required, or the key is not one of this server's",
    403: "the key has another role",
    404: "no such route, model, run or stored version",
    405: "the route does not take this method",
    409: "not possible in the current state",
    413: "the body, or the number of records in it, is too large",
    421: "the request names a host that this server does not answer to",
    429: "more records a minute than this sender may send; Retry-After says when to go on",
    500: "internal error; the server log has the details under the error id of the answer",
    503: "no version serves yet, or storage cannot be used now; try again later",
}
_ARGUMENTS: Mapping[str, str] = {
    "model": "name of a model",
    "entity": "what the model's entity is called: a device, a shop",
    "version": "such as v000007-20261121T083000Z",
    "run_id": "id of a run",
    "product_id": "id of a product; may hold slashes",
    "user_id": "id of a customer; may hold slashes",
}
_NAME_PATTERN = "^[^/]+$"
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}]


def openapi_document(app: Flask, *, is_local: bool, release: str, prefix: str = "") -> bytes:
    """The document as JSON.

    Args:
        is_local: for requests from this machine only the routes that are marked need a key.
        prefix: what a proxy puts before every path.
    """
    shown = list(documented_routes(app))
    types = _types(OPERATIONS[key] for key, _, _ in shown if key in OPERATIONS)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(map(_key, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for key, rule, view in shown:
        method = key.partition(" ")[0].lower()
        operation = OPERATIONS.get(key) or _from_docstring(view)
        needed = needed_role(view, is_local=is_local)
        paths.setdefault(_path(rule), {})[method] = _operation(
            operation, rule, method, needed, by_type, is_local=is_local
        )
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Hotfit",
                "version": release,
                "description": "Models that keep themselves fresh: predictions, the life of"
                " versions, training, records, and the Open Inference Protocol.",
            },
            **({"servers": [{"url": prefix}]} if prefix else {}),
            "paths": dict(sorted(paths.items())),
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                },
            },
        }
    )


def documented_routes(app: Flask) -> Iterator[tuple[str, Rule, Any]]:
    """("GET /models/<model>", rule, view) of every route but the console's pages.

    A model's route with an entity has the operation of the one without.
    """
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if is_for_sessions(view) or rule.endpoint.partition(".")[0] == "console":
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield f"{method} {without_entity(rule.rule)}", rule, view


def _path(rule: Rule) -> str:
    return _ARGUMENT.sub(lambda found: "{" + found["name"] + "}", rule.rule)


def _types(operations: Iterator[Operation]) -> list[Any]:
    found: dict[Any, Any] = {_key(one): one for one in (Problem, ProtocolError)}
    for operation in operations:
        wanted = [answer.type for answer in operation.answers.values()]
        wanted += [operation.body.type] if operation.body else []
        found |= {_key(one): one for one in wanted if one is not None}
    return list(found.values())


def _key(type_: Any) -> Any:
    try:
        return hash(type_), type_
    except TypeError:  # an annotation that holds a dictionary
        return repr(type_)


def _from_docstring(view: Any) -> Operation:
    text = inspect.getdoc(view.func if isinstance(view, partial) else view) or "No description."
    return Operation(text, {200: Answer(None, "done")})


def _operation(
    operation: Operation,
    rule: Rule,
    method: str,
    needed: Role | None,
    schemas: Mapping[Any, Any],
    *,
    is_local: bool,
) -> dict[str, Any]:
    is_protocol = rule.rule == "/v2" or rule.rule.startswith("/v2/")
    summary, _, rest = operation.text.partition("\n")
    arguments = [_argument(found["name"], found["kind"]) for found in _ARGUMENT.finditer(rule.rule)]
    queries = list(_queries(operation.query)) if operation.query else []
    shown: dict[str, Any] = {
        "operationId": _operation_id(rule),
        "summary": summary,
        "tags": [_tag(rule)],
        "responses": {
            str(status): _answer(answer, schemas)
            for status, answer in sorted(operation.answers.items())
        },
    }
    if rest.strip():
        shown["description"] = rest.strip()
    if arguments or queries:
        shown["parameters"] = arguments + queries
    if operation.body is not None:
        shown["requestBody"] = _body(operation.body, schemas)
    if needed is not None:
        shown["security"] = _SECURITY
        shown["x-role"] = str(needed)
    errors = {*operation.errors, 500}
    if arguments:
        errors.add(404)
    if queries or operation.body:
        errors.add(400)
    if operation.body:
        errors.add(413)
    if needed is not None:
        errors |= {401, 403}
    if is_local:
        errors.add(421)
    for status in sorted(errors - operation.answers.keys()):
        shown["responses"][str(status)] = _error(status, schemas, is_protocol=is_protocol)
    return shown


def _operation_id(rule: Rule) -> str:
    found: str = rule.endpoint.replace(".", "_")
    is_told_apart = "entity>" not in rule.rule or "of_entity" in found
    return found if is_told_apart else f"{found}_of_entity"


def _tag(rule: Rule) -> str:
    blueprint: str = rule.endpoint.partition(".")[0]
    return blueprint.replace("_", " ")


def _argument(name: str, kind: str | None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1}
    if kind != "path":
        schema["pattern"] = _NAME_PATTERN
    text = _ARGUMENTS.get(name, name.replace("_", " "))
    return {"name": name, "in": "path", "required": True, "description": text, "schema": schema}


def _queries(query: type[msgspec.Struct]) -> Iterator[dict[str, Any]]:
    """The parameters that the fields of a struct type are."""
    _, components = msgspec.json.schema_components((query,), ref_template=_REF)
    for name, shown in components[query.__name__]["properties"].items():
        schema = dict(shown)
        if schema.get("default", ...) is None:  # left out; a query has no null
            schema.pop("default")
            kinds = [one for one in schema.pop("anyOf") if one != {"type": "null"}]
            schema |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        text = schema.pop("description", name.replace("_", " "))
        yield {"name": name, "in": "query", "description": text, "schema": schema}


def _body(body: Body, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": schemas[_key(body.type)]}}
    shown = {"required": not body.is_optional, "content": content}
    if body.also:
        shown["description"] = "; ".join(f"{kind}: {text}" for kind, text in body.also.items())
    return shown


def _answer(answer: Answer, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": answer.text}
    if answer.type is not None:
        shown["content"] = {answer.content_type: {"schema": schemas[_key(answer.type)]}}
        for content_type, text in answer.also.items():
            shown["content"][content_type] = {}
            shown["description"] += f"; {content_type}: {text}"
    if answer.headers:
        shown["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in answer.headers.items()
        }
    return shown


def _error(status: int, schemas: Mapping[Any, Any], *, is_protocol: bool) -> dict[str, Any]:
    type_, content_type = (ProtocolError, JSON) if is_protocol else (Problem, PROBLEM)
    return {
        "description": _WHEN[status],
        "content": {content_type: {"schema": schemas[_key(type_)]}},
    }
