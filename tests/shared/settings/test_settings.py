"""hotfit.toml and the environment."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from scripts.setup.settings_reference import sections
from shared.errors import SettingsInvalid
from shared.settings.root import Settings, load_settings

GOOD = """
[sources.shop]
kind = "sql"
url = "sqlite:///shop.db"

[models.parts]
workload = "spare_parts"
source = "shop"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "hotfit.toml"


def test_a_short_file_is_enough(config: Path) -> None:
    """Everything has a default that suits a small team."""
    config.write_text(GOOD)

    settings = load_settings(config)

    model = settings.models["parts"]
    assert model.triggers.new_records == 10
    assert model.triggers.every == timedelta(hours=24)
    assert model.gate.max_regression == 0.10
    assert model.stream("appointments").collection == "appointments"
    assert (settings.api.host, settings.api.port) == ("127.0.0.1", 5000)
    assert settings.home.is_absolute()


def test_the_environment_wins_over_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file for everybody, one variable for this machine."""
    config.write_text("[api]\nport = 5001\n" + GOOD)
    monkeypatch.setenv("HOTFIT_API__PORT", "5002")

    assert load_settings(config).api.port == 5002


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[api]\nport = 70000", "api.port"),
        ("[api]\nprot = 1", "api.prot"),
        ("nonsense = 1", "nonsense"),
        ("[models.A]\nworkload='w'\nsource='s'", "a name is made of a-z"),
        ("[models.a]\nworkload='w'\nsource='s'", "models.a.source: expected one of"),
        ("[sources.a]\nkind='oracle'", "sources.a.kind"),
        ("[sources.a]\nkind='sql'", 'kind "sql" needs url'),
        (GOOD + "[models.parts.triggers]\nevery = '1 fortnight'", "expected a duration such as"),
        ("[api", "not valid TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_path(config: Path, text: str, sentence: str) -> None:
    """A person must find the line without reading our code."""
    config.write_text(text)

    with pytest.raises(SettingsInvalid) as refused:
        load_settings(config)

    assert sentence in str(refused.value)
    assert "hotfit.toml" in str(refused.value)


def test_every_fault_is_told_at_once(config: Path) -> None:
    """Fixing one fault a restart is no way to spend an evening."""
    config.write_text("[api]\nport = 0\nworkers = 0\n")

    with pytest.raises(SettingsInvalid) as refused:
        load_settings(config)

    assert len(str(refused.value).splitlines()) == 2


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A path mistyped in a service file must not fall back to the defaults in silence."""
    with pytest.raises(SettingsInvalid, match=r"missing\.toml: cannot be read"):
        load_settings(tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1.5h", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
    ],
)
def test_durations_are_written_as_people_say_them(
    config: Path, text: str, duration: timedelta
) -> None:
    """Nobody should count seconds of a week."""
    config.write_text(GOOD + f"[models.parts.triggers]\nevery = '{text}'")

    assert load_settings(config).models["parts"].triggers.every == duration


FOUND = dict(sections(Settings))
NUMBERS = [
    (path, name, field)
    for path, section in FOUND.items()
    for name, field in section.model_fields.items()
    if {int, float, timedelta} & {field.annotation, *get_args(field.annotation)}
]


@pytest.mark.parametrize(("path", "name", "field"), NUMBERS, ids=lambda value: str(value)[:40])
def test_every_number_has_bounds_at_both_ends(path: str, name: str, field: FieldInfo) -> None:
    """A value that arithmetic cannot bear is found when the file is read, not a day later."""
    assert any(isinstance(bound, Ge | Gt) for bound in field.metadata), "no lower bound"
    assert any(isinstance(bound, Le | Lt) for bound in field.metadata), "no upper bound"

    takes = timedelta in (field.annotation, *get_args(field.annotation))
    adapter: TypeAdapter[Any] = TypeAdapter(FOUND[path])
    values: list[Any] = [math.nan, math.inf, -math.inf, -1, -1e300, 1e300, 10**30, -(10**30)]
    for value in ["99999999999999999d", "-5s", *values] if takes else values:
        with pytest.raises(ValidationError) as refused:
            adapter.validate_python({name: value})
        assert name in {fault["loc"][0] for fault in refused.value.errors()}, value
