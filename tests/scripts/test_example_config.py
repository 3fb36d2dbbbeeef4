"""docs/hotfit.example.toml shows every setting, with the default and the words of the code."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from retrain_service.sources import REGISTRY as SOURCES
from shared.settings.per_model import (
    GateSettings,
    ModelSettings,
    StreamSettings,
    TrainingSettings,
    TriggerSettings,
)
from shared.settings.root import Settings, load_settings
from shared.settings.run_export import MongodbExportSettings
from shared.settings.sections import (
    ApiSettings,
    FeedSettings,
    NotifySettings,
    RetentionSettings,
    RetrainSettings,
    SourceSettings,
)
from shared.settings.values import parse_duration
from shared.workloads import open_workload

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "hotfit.example.toml"
SECTIONS: dict[str, type[BaseModel]] = {
    "": Settings,
    "api": ApiSettings,
    "retrain": RetrainSettings,
    "retention": RetentionSettings,
    "notify": NotifySettings,
    "run_export.mongodb": MongodbExportSettings,
    "feed": FeedSettings,
    "sources.firestore": SourceSettings,
    "models.spare_parts": ModelSettings,
    "models.spare_parts.streams.appointments": StreamSettings,
    "models.spare_parts.triggers": TriggerSettings,
    "models.spare_parts.gate": GateSettings,
    "models.spare_parts.training": TrainingSettings,
}
SHOWN_ELSEWHERE = {
    ("sources.firestore", "url"),
    ("sources.firestore", "api_key_env"),
    ("sources.firestore", "api_key_header"),
    *(
        ("sources.firestore", name)
        for name in (
            *("encoding", "delimiter", "time_zone"),  # of files
            *("step", "history_days", "server_label"),  # of Prometheus
        )
    ),
}
NOT_DEFAULTS = {
    # A name or a path of one's own has no default that could be shown.
    ("api", "public_key"),
    ("sources.firestore", "project"),
    # Nothing stands for the default, which grows with the length of a run.
    ("models.spare_parts.triggers", "min_interval"),
    # Without them the column shows it.
    ("models.spare_parts.streams.appointments", "time_zone"),
    ("models.spare_parts.streams.appointments", "decimal"),
}


@pytest.fixture(scope="module")
def uncommented() -> str:
    return re.sub(r"^#(?! )(?=\S)", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def shown(uncommented: str) -> dict[str, Any]:
    return tomllib.loads(uncommented)


def section(shown: dict[str, Any], path: str) -> dict[str, Any]:
    for name in filter(None, path.split(".")):
        shown = shown[name]
    return shown


def test_the_file_changes_nothing_as_it_is() -> None:
    """Someone who copies it and edits one line gets the defaults for all others."""
    assert tomllib.loads(EXAMPLE.read_text(encoding="utf-8")) == {}


def test_the_file_is_a_valid_configuration_when_uncommented(
    uncommented: str, tmp_path: Path
) -> None:
    """Examples that do not work teach the wrong thing."""
    path = tmp_path / "hotfit.toml"
    path.write_text(uncommented, encoding="utf-8")

    settings = load_settings(path)

    assert settings.models["spare_parts"].source in settings.sources
    assert {source.kind for source in settings.sources.values()} == set(SOURCES)
    for model in settings.models.values():
        open_workload(model.workload, model.parameters)


@pytest.mark.parametrize("path", SECTIONS)
def test_every_setting_is_shown_with_its_meaning_and_default(
    path: str, shown: dict[str, Any]
) -> None:
    """A setting that is not in the example is a setting nobody finds."""
    text = EXAMPLE.read_text(encoding="utf-8")
    found = section(shown, path)

    for name, field in SECTIONS[path].model_fields.items():
        if (path, name) in SHOWN_ELSEWHERE:
            assert f"{name} = " in text
            continue
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        line = f"#{name} = {default!r}  # {field.description}"
        assert name in found, f"{EXAMPLE.name}, section [{path}]: expected such a line: {line}"
        if isinstance(found[name], dict):
            continue
        assert field.description
        assert field.description in text, f"[{path}] {name}: its description has changed"
        if field.is_required() or (path, name) in NOT_DEFAULTS:
            continue
        assert as_shown(found[name], default), line


def test_every_parameter_of_the_workload_is_shown(shown: dict[str, Any]) -> None:
    """Parameters are settings too."""
    model = shown["models"]["spare_parts"]
    workload = open_workload("spare_parts", {})

    expected = {
        name: getattr(workload.parameters, name) for name in workload.parameters.__struct_fields__
    }

    # Without it the dates show how they are to be read.
    assert model["parameters"].pop("day_first")
    assert expected.pop("day_first") is None
    assert model["parameters"] == expected


def as_shown(value: object, default: object) -> bool:
    if isinstance(default, timedelta):
        return parse_duration(value) == default
    if isinstance(default, Path):
        return value == default.as_posix()
    return list(default) == value if isinstance(default, tuple) else value == default
