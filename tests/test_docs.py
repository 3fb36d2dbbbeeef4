"""The documentation says what the code does: names, states, routes, sentences and examples.

Both ways: what is in the code is documented, and what is documented is in the code. The curl
examples are run against real daemons by tests/scripts/daemons/test_start_to_stop.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import click
import pytest
from flask import Flask
from werkzeug.exceptions import HTTPException

from api_service.app import create_app
from api_service.context import Context
from api_service.serving_slot import ServingTable
from api_service.status.models import WAITING
from api_service.status.versions import PREVIOUS
from api_service.web.auth import KeyRing, needed_role
from api_service.web.model_urls import without_entity
from retrain_service import cli
from retrain_service.buffer import stream_health
from retrain_service.sources import REGISTRY as SOURCES
from scripts.setup import mapping_reference, settings_reference
from shared.keys.api_keys import Role
from shared.run_log.run import RunStatus
from shared.settings.root import Settings
from shared.versions.model_store import ModelStore
from shared.versions.model_version import NEXT_STATES, VersionState
from shared.workloads import REGISTRY as WORKLOADS
from shared.workloads import workload_class
from shared.workloads.spare_parts import daily_totals, records
from tests.api_service.conftest import serving_config
from tests.support.pages import (
    PAGES,
    ROOT,
    anchors,
    first_column,
    page_name,
    quoted,
    section,
    sentences,
    table_rows,
    text_of,
)
from tests.support.printed_examples import differences, examples, read_shortened

README, OPERATIONS, HTTP_API, SHAPES = (
    ROOT / "README.md",
    ROOT / "docs" / "operations.md",
    ROOT / "docs" / "http-api.md",
    ROOT / "docs" / "data-shapes.md",
)
METHODS = "GET|POST|PUT|PATCH|DELETE"


# -- names ---------------------------------------------------------------------------------------


def test_every_setting_is_in_the_settings_page_as_the_code_has_it() -> None:
    """A setting that is not documented is one that nobody finds; a wrong default misleads."""
    page = text_of(ROOT / "docs" / "settings.md")
    is_current = settings_reference.with_tables(page) == page

    assert is_current, "run .venv/bin/python scripts/setup/settings_reference.py"
    for name in settings_reference.marked(page):
        assert f"[{name}]" in page or name == "top" or name.startswith("workload: ")


def test_every_field_and_shape_is_in_the_mapping_page_as_the_code_declares_it() -> None:
    """Who maps a table looks up the names here; a field that is missing cannot be mapped."""
    page = text_of(ROOT / "docs" / "map-your-data.md")
    same_as_others = {"fields: product_recommender products"}

    assert mapping_reference.with_tables(page) == page, "run scripts/setup/mapping_reference.py"
    assert mapping_reference.marked(page) == dict(mapping_reference.all_tables()).keys() - (
        same_as_others
    )


def setting_paths() -> set[str]:
    """ "port", "api.port", "models.NAME.gate.min_rows" and "gate.min_rows"."""
    found: set[str] = set()
    for path, model in settings_reference.sections(Settings):
        for name in model.model_fields:
            found |= {name, f"{path}.{name}", f"{path.replace('.NAME', '').split('.')[-1]}.{name}"}
    for workload in WORKLOADS:
        found |= set(workload_class(workload).Parameters.__struct_fields__)
    return found


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_setting_that_a_page_names_exists(path: Path) -> None:
    """`api.prot` in a page costs somebody an evening."""
    first_parts = {
        part for name, _ in settings_reference.sections(Settings) for part in name.split(".")
    }
    known = setting_paths()

    for name in quoted(text_of(path)):
        is_setting = re.fullmatch(r"[a-z]+(\.[A-Za-z_]+)+", name) and name.split(".")[0] in (
            first_parts - {"", "NAME", "STREAM"}
        )
        if is_setting and not name.endswith((".py", ".toml", ".md", ".sh", ".key", ".pub")):
            assert name in known, f"{page_name(path)}: `{name}` is no setting"


@pytest.mark.parametrize(
    ("path", "heading", "names"),
    [
        (README, "## States of a version", set(VersionState)),
        (OPERATIONS, "### Runs", set(RunStatus)),
        (OPERATIONS, "### Streams", set(get_args(stream_health.State))),
        (SHAPES, "## What is refused", None),
    ],
    ids=["versions", "runs", "streams", "refused"],
)
def test_every_state_is_explained_and_no_other(
    path: Path, heading: str, names: set[str] | None
) -> None:
    """A word in an answer that no page explains is a riddle."""
    if names is None:
        words = {name for name in vars(records) if re.match(r"(NOT|NO|BAD)_", name)}
        names = {getattr(records, name) for name in words} | {daily_totals.DATED_LATER}

    assert first_column(path, heading) == {str(name) for name in names}


def test_the_table_of_states_shows_what_comes_next() -> None:
    """The order of the states is the code's."""
    for state, _, following in table_rows(section(README, "## States of a version")):
        allowed = NEXT_STATES[VersionState(quoted(state)[0])]
        assert set(quoted(following)) == {str(each) for each in allowed}, state


@pytest.mark.parametrize("name", [WAITING, PREVIOUS, "silent", "not_running", "degraded"])
def test_words_of_answers_that_are_no_states_are_explained(name: str) -> None:
    """They stand in the same fields."""
    assert any(f"`{name}`" in text_of(path) for path in (README, OPERATIONS))


def test_every_kind_of_source_and_every_workload_is_documented() -> None:
    """What can be configured can be read about."""
    pages = "\n".join(text_of(path) for path in PAGES)

    for kind in SOURCES:
        assert f'kind = "{kind}"' in pages
    for workload in WORKLOADS:
        assert f'workload = "{workload}"' in pages


# -- routes --------------------------------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    config = serving_config(tmp_path)
    store, ring = ModelStore(config.models_dir), KeyRing(config.keys_dir)
    return create_app(Context(config, ServingTable(), store, ring))


def routes(app: Flask) -> Iterator[tuple[str, str]]:
    """("POST /models/<model>/predict", role of the key) for every route; entities are models."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        role = getattr(view, "needed_role", None)
        named = {"open": "none", "session": "session", None: "predict"}.get(role, str(role))
        # One that asks for no key of this machine although it names a role.
        if role in (Role.FEED, Role.ADMIN) and needed_role(view, is_local=True) is None:
            named += " elsewhere"
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            path = without_entity(rule.rule)
            yield f"{method} {path}", named


def test_every_route_is_documented_with_the_role_of_its_key(app: Flask) -> None:
    """And no route is documented that does not exist."""
    table = table_rows(section(HTTP_API, "## Routes"))

    others = table_rows(section(ROOT / "docs" / "aliases.md", "## Paths"))
    others += table_rows(section(ROOT / "docs" / "v2-protocol.md", "## Routes"))
    listed = {(quoted(path)[0], role) for path, role, *_ in others}
    documented = {(quoted(route)[0], role) for route, role, _ in table}
    described = set(re.findall(rf"^### `((?:{METHODS}) [^`]+)`$", text_of(HTTP_API), re.MULTILINE))

    assert documented | listed == set(routes(app))
    assert described == {route for route, _ in documented}


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_route_that_a_page_names_exists(path: Path, app: Flask) -> None:
    """With its method: a POST that should be a GET is a wrong instruction."""
    adapter = app.url_map.bind("localhost")

    for method, route in re.findall(rf"\b({METHODS}) (/[\w<>/.-]*)", text_of(path)):
        try:
            adapter.match(re.sub(r"<\w+>", "x", route).rstrip("."), method=method)
        except HTTPException:
            pytest.fail(f"{page_name(path)}: {method} {route} is no route")


# -- commands, files, links ----------------------------------------------------------------------


@pytest.mark.parametrize("script", ["start", "stop", "status"])
def test_exit_codes_of_scripts_are_documented_in_their_own_words(script: str) -> None:
    """A service manager and a cron job decide by them."""
    help_text = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "control.py"), script, "--help"],
        env={**os.environ, "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    documented = exit_codes()[f"./scripts/{script}.sh"]

    assert f"Exit code: {documented}." in " ".join(help_text.split())


@pytest.mark.parametrize("command", ["python -m retrain_service run", "python -m api_service"])
def test_exit_codes_of_daemons_are_documented(command: str) -> None:
    """2 and 3 need a person, 4 may pass: the systemd units rest on that."""
    name = r"^EXIT_(?:CONFIGURATION|ALREADY_RUNNING|STORAGE|LATER) = (\d+)"
    sources = (path.read_text(encoding="utf-8") for path in ROOT.glob("retrain_service/**/*.py"))
    codes = {int(code) for text in sources for code in re.findall(name, text, re.MULTILINE)}

    assert {int(code) for code in re.findall(r"\d", exit_codes()[command])} == {0, *codes}


def exit_codes() -> dict[str, str]:
    rows = table_rows(section(OPERATIONS, "## Start, stop, look"))
    return {quoted(row[0])[0]: row[2] for row in rows if len(row) == 3}


def test_every_command_and_script_is_documented() -> None:
    """What can be run can be read about."""
    pages = "\n".join(text_of(path) for path in PAGES)
    assert isinstance(cli.main, click.Group)

    for command in cli.main.commands:
        assert re.search(rf"python -m retrain_service {command}\b", pages), command
    for script in (ROOT / "scripts").rglob("*.sh"):
        if script.name != "find_python.sh":
            assert script.relative_to(ROOT).as_posix() in pages, script.name


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_command_that_a_page_names_exists(path: Path) -> None:
    """A command that fails in the first minute is the last one that is tried."""
    assert isinstance(cli.main, click.Group)
    text = text_of(path)

    for command in re.findall(r"python -m retrain_service ([a-z-]+)", text):
        assert command in cli.main.commands, command
    for module in re.findall(r"python -m ([a-z_.]+[a-z])", text):
        assert module == "pip" or find_spec(module), module
    for name in re.findall(r"(?:scripts|docs|tests|shared|\w+_service)[/\\][\w/\\.]+\.\w+", text):
        assert (ROOT / name.replace("\\", "/")).exists(), name


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_links_between_pages_resolve(path: Path) -> None:
    """File and heading."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(path)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), f"{page_name(path)}: {target}"
        assert not anchor or anchor in anchors(linked), f"{page_name(path)}: {target}"


def test_every_page_is_linked_from_the_readme() -> None:
    """A page that nobody comes to is not documentation."""
    for path in PAGES[1:]:
        assert f"](docs/{path.name})" in text_of(README), path.name


# -- sentences -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [README, OPERATIONS], ids=page_name)
def test_sentences_that_call_for_action_are_the_codes_own(path: Path) -> None:
    """Somebody searches for what stands on the screen."""
    for row in table_rows(section(path, "## When it says … do …")):
        for sentence in quoted(row[0]):
            parts = [re.escape(part.strip()) for part in sentence.split("…")]
            assert re.search(".*".join(parts), sentences()), sentence


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_printed_answers_can_be_read(path: Path) -> None:
    """Shortened, but still JSON: what is shown is what was printed."""
    for example in examples(path):
        if example.command.startswith("curl") and example.printed:
            answer = read_shortened(example.printed)
            assert not list(differences(answer, answer))


# -- the newcomer's first minute -----------------------------------------------------------------


def test_the_readme_shows_install_one_command_and_its_result_by_line_45() -> None:
    """Who has seen nothing work by then is gone."""
    first = "\n".join(text_of(README).splitlines()[:45])

    assert "$ ./scripts/start.sh\n" in first
    assert re.search(r"^Hotfit is ok after \d+ s: http://127\.0\.0\.1:5000$", first, re.MULTILINE)


def test_no_page_or_example_holds_the_marks_of_an_unfinished_merge() -> None:
    """A copied example with such a line is no configuration."""
    marks = re.compile(r"^(<{7} |>{7} |={7}$)", re.MULTILINE)

    for path in (*PAGES, *ROOT.glob("docs/*.*"), *ROOT.glob("scripts/**/*.*")):
        if path.suffix in {".md", ".toml", ".sh", ".bat", ".py", ".yaml", ".yml", ".json"}:
            assert not marks.search(text_of(path)), f"{page_name(path)}"


def test_nothing_speaks_of_a_developers_machine() -> None:
    """Paths that exist on one machine only help nobody else."""
    private = re.compile(r"(?<![\w.])/(?:work|home/\w+|Users/\w+|root|tmp/\w+)/")

    for path in (*PAGES, ROOT / "docs" / "hotfit.example.toml", *ROOT.glob("scripts/**/*.*")):
        if path.suffix in {".md", ".toml", ".sh", ".bat", ".py", ".service"}:
            assert not private.search(text_of(path)), f"{page_name(path)}"
