"""Variables in the environment that nobody reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.settings.environment import unread_variables

ROOT = Path(__file__).resolve().parent.parent.parent.parent
NAME = re.compile(r"\bHOTFIT_[A-Z][A-Z_]*[A-Z]\b")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HOTFIT_APPI__PORT", "HOTFIT_API__PORT"),
        ("HOTFIT_API_PORT", "HOTFIT_API__PORT"),
        ("HOTFIT_MODEL__M__TRIGGERS__EVERY", "HOTFIT_MODELS__M__TRIGGERS__EVERY"),
        ("HOTFIT_HOEM", "HOTFIT_HOME"),
        ("HOTFIT_APIKEY", "HOTFIT_API_KEY"),
    ],
)
def test_a_misspelt_variable_is_named_with_what_may_have_been_meant(name: str, meant: str) -> None:
    """Whoever wrote it believes that the daemon listens on another port."""
    (sentence,) = unread_variables({name: "5001", "PATH": "/bin"})

    assert sentence.startswith(f"{name} in the environment is no setting")
    assert sentence.endswith(f"Did you mean {meant}?")


def test_a_variable_like_no_other_is_named_without_a_guess() -> None:
    (sentence,) = unread_variables({"HOTFIT_QQQQQQQQ": "1"})

    assert "Did you mean" not in sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOTFIT_API__PORT", "5001"),
        ("hotfit_home", "var"),
        ("HOTFIT_MODELS__SPARE_PARTS__TRIGGERS__NEW_RECORDS", "25"),
        ("HOTFIT_CONFIG", "hotfit.toml"),
        ("HOTFIT_TEST_ANYTHING", "1"),
        ("HOTFIT_SERVICE_HOST", "10.0.0.1"),  # Kubernetes, for a service called hotfit
        ("HOTFIT_PORT_5000_TCP_ADDR", "10.0.0.1"),
        ("HOTFIT_API_PORT", "tcp://10.0.0.1:5000"),
    ],
)
def test_what_somebody_reads_is_passed_over(name: str, value: str) -> None:
    """A warning that is always there is one that nobody reads."""
    assert unread_variables({name: value}) == []


def test_every_variable_of_the_scripts_is_known() -> None:
    """A variable that a script sets for its daemon must not make that daemon complain."""
    found = {
        name
        for path in (ROOT / "scripts").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
        for name in NAME.findall(path.read_text(encoding="utf-8", errors="replace"))
    }

    assert "HOTFIT_VENV" in found
    assert unread_variables(dict.fromkeys(found, "")) == []
