"""The document at /openapi.json is of this API, and the API is as the document says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.typing import ResponseReturnValue
from openapi_spec_validator import OpenAPIV31SpecValidator

from api_service.app import create_app
from api_service.context import Context
from api_service.schemas.openapi_document import documented_routes
from api_service.schemas.operations import OPERATIONS
from api_service.web.auth import needed_role
from api_service.web.model_urls import without_entity
from shared.keys.api_keys import Role, ensure_api_keys
from shared.run_log.run import RunStatus
from shared.run_log.writer import RunLog
from tests.api_service.conftest import NOW, Serving, serving_config
from tests.api_service.routes.test_health import (
    source_report,
    write_retrain_report,
    write_worker_report,
)
from tests.api_service.routes.test_models import run
from tests.support.versions import ServingHome
from tests.support.whole_api import admin_key, whole_api

CONFIGURATION = Path(__file__).parent / "schemathesis.toml"
EXAMPLES = int(os.environ.get("HOTFIT_TEST_API_EXAMPLES", "0"))
"""How many requests of each route are made up; 0 for the few of the suite."""


def app_of(serving: Serving) -> Flask:
    return create_app(
        Context(serving.config, serving.table, serving.home.store, serving.ring, lambda: NOW)
    )


def document(app: Flask) -> Any:
    answer = app.test_client().get("/openapi.json")
    assert answer.status_code == 200
    return answer.json


def test_every_route_is_in_the_document_and_no_other(serving: Serving) -> None:
    """A client that is generated from it has every call, and none that fails."""
    app = app_of(serving)

    shown = {
        (method.upper(), path) for path, item in document(app)["paths"].items() for method in item
    }
    existing = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith("console.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert shown == existing


def test_every_route_says_what_it_takes_and_gives(serving: Serving) -> None:
    """A route of ours without schemas, or schemas of a route that is gone, are oversights."""
    keys = {key for key, _, _ in documented_routes(app_of(serving))}

    assert keys == set(OPERATIONS)


def test_the_document_is_valid(serving: Serving) -> None:
    """Generators and viewers refuse what is not."""
    found = document(app_of(serving))

    assert found["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(found).validate()


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.5"])
def test_the_document_says_who_needs_which_key(home: ServingHome, host: str) -> None:
    """As the application checks it at this address."""
    serving = Serving(home, serving_config(home.path, host=host))
    app = app_of(serving)
    is_loopback = host.startswith("127.")
    ensure_api_keys(serving.config.keys_dir)
    serving.tick()
    key = (serving.config.keys_dir / f"{Role.PREDICT}.key").read_text().strip()
    answer = app.test_client().get("/openapi.json", headers={"X-API-Key": key})
    shown: Any = answer.json

    for name, rule, view in documented_routes(app):
        method = name.partition(" ")[0].lower()
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        role = needed_role(view, is_local=is_loopback)
        operation = shown["paths"][path][method]
        assert operation.get("x-role") == (str(role) if role else None), name
        assert ("security" in operation) == (role is not None), name
        may_refuse = role is not None or 401 in OPERATIONS[name].errors
        assert ("401" in operation["responses"]) == may_refuse, name


def test_a_route_of_a_users_own_is_in_the_document(serving: Serving) -> None:
    """The application is theirs to extend; the docstring is all that they need to write."""
    app = app_of(serving)

    @app.get("/shops/<shop_id>/prices")
    def prices(shop_id: str) -> ResponseReturnValue:
        """Prices of one shop.

        As they were this morning.
        """
        return shop_id

    operation = document(app)["paths"]["/shops/{shop_id}/prices"]["get"]

    assert operation["summary"] == "Prices of one shop."
    assert operation["description"] == "As they were this morning."
    assert operation["parameters"][0]["name"] == "shop_id"


def test_a_model_and_its_entity_have_the_same_operation(serving: Serving) -> None:
    """The slash is part of the name, not another route."""
    app = app_of(serving)
    paths = document(app)["paths"]

    with_entity = [rule.rule for rule in app.url_map.iter_rules() if "entity>" in rule.rule]
    for rule in with_entity:
        if rule.startswith("/console"):
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)
        own = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", without_entity(rule))
        for method, operation in paths[path].items():
            assert operation["responses"] == paths[own][method]["responses"]


@pytest.mark.parametrize(
    "path",
    [
        *("/health", "/models", "/models/m", "/models/m/versions", "/models/m/training"),
        *("/runs", "/runs/r1", "/events", "/v2/models/m", "/v2/models/stats"),
    ],
)
def test_every_field_of_an_answer_is_in_the_document(
    home: ServingHome, serving: Serving, path: str
) -> None:
    """A generated client drops what it was not told of."""
    home.publish("m", 1)
    home.publish("m", 2)
    serving.tick()
    write_worker_report(serving)
    write_retrain_report(serving, sources=[source_report("ok", "up to date")])
    log = RunLog.open(serving.config.run_log_path)
    log.add_run(run("r1", 1, RunStatus.SUCCEEDED))
    log.add_event(NOW, "m", "promote", "because")
    log.close()
    app = app_of(serving)
    template = re.sub(r"/m\b", "/{model}", path).replace("r1", "{run_id}")

    answer = app.test_client().get(path)

    shown = document(app)
    said = shown["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]
    assert answer.status_code == 200
    assert list(_untold(shown, said["schema"], answer.json, "")) == []


def _untold(document: Any, schema: Any, value: Any, at: str) -> Iterator[str]:
    """Where a value has a field that an object with named fields does not name."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        whole = [each for each in schema["anyOf"] if each.get("type") != "null"]
        yield from min((list(_untold(document, each, value, at)) for each in whole), key=len)
    elif isinstance(value, list):
        for each in value:
            yield from _untold(document, schema.get("items", {}), each, f"{at}[]")
    elif isinstance(value, dict) and "properties" in schema:
        for name, field in value.items():
            known = schema["properties"].get(name)
            if known is None:
                yield f"{at}.{name}"
            else:
                yield from _untold(document, known, field, f"{at}.{name}")


@pytest.mark.slow
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """No 5xx, no status, content type or field that the document does not say; wrong requests
    are refused, right ones accepted, keys asked for.

    HOTFIT_TEST_API_EXAMPLES=100 makes up more requests, other ones each time, and follows links.
    """
    home = whole_api(tmp_path)
    command = [str(Path(sys.executable).parent / "schemathesis"), "--config-file"]
    command += [str(CONFIGURATION), "run", "--no-color", "--max-examples", str(EXAMPLES or 1)]
    if EXAMPLES:
        command += ["--phases", "coverage,fuzzing,stateful"]
    else:
        # The rules with an entity have the views of those without.
        command += ["--phases", "coverage,fuzzing", "--seed", "7"]
        command += ["--exclude-path-regex", "entity"]

    with home.running():
        shown = home.get("/openapi.json")[1]
        paths = [path for path in shown["paths"] if EXAMPLES or "entity" not in path]
        n_operations = sum(len(shown["paths"][path]) for path in paths)
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{home.port}/openapi.json"],
            cwd=tmp_path,
            env={**os.environ, "HOTFIT_TEST_KEY": admin_key(home)},
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    # The document itself it has asked for already.
    assert f"Tested: {n_operations - 1}\n" in done.stdout
    assert "request_failed" not in home.log.read_text()
