"""Settings under their former names."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.errors import SettingsInvalid
from shared.settings.environment import unread_variables
from shared.settings.renamed import warn_of_former_names
from shared.settings.root import load_settings

MODEL = """
[sources.s]
kind = "sql"
url = "sqlite:///x.db"
[models.m]
workload = "tabular"
source = "s"
[models.m.gate]
"""


@pytest.mark.parametrize(
    ("lines", "old", "new", "expected"),
    [
        ("[api]\ntake_turns = false", "take_turns", "batch_scheduling", False),
        (
            "[api]\ntake_turns = false\nbatch_scheduling = true",
            "take_turns",
            "batch_scheduling",
            True,
        ),
        (f"{MODEL}patience_days = 9", "patience_days", "max_undecided_days", 9),
    ],
)
def test_a_former_name_is_read_and_named_once(
    tmp_path: Path, lines: str, old: str, new: str, expected: object
) -> None:
    """A configuration of the release before starts the daemon as it did; the new name wins."""
    file = tmp_path / "hotfit.toml"
    file.write_text(f"{lines}\n")
    warn_of_former_names()

    settings = load_settings(file)

    section = settings.models["m"].gate if settings.models else settings.api
    assert getattr(section, new) == expected
    with capture_logs() as logs:
        warn_of_former_names()
        warn_of_former_names()
    assert [line["event"] for line in logs] == ["setting_renamed"]
    assert f"{old} is now called {new}" in logs[0]["sentence"]


URL, OTHER = "mongodb://one:27017/plant", "mongodb://two:27017/plant"


@pytest.mark.parametrize(
    ("lines", "variables", "url", "is_former"),
    [
        (f'[mirror]\nurl = "{URL}"\ncollection = "c"', {}, URL, True),
        ("", {"HOTFIT_MIRROR__URL": URL, "HOTFIT_MIRROR__COLLECTION": "c"}, URL, True),
        ("", {"HOTFIT_MIRROR": f'{{"url": "{URL}", "collection": "c"}}'}, URL, True),
        # The environment wins over the file, under whichever name.
        (
            f'[run_export.mongodb]\nurl = "{OTHER}"\ncollection = "c"',
            {"HOTFIT_MIRROR__URL": URL},
            URL,
            True,
        ),
        # The new name wins, setting by setting.
        (
            f'[mirror]\nurl = "{OTHER}"\ncollection = "c"\n[run_export.mongodb]\nurl = "{URL}"',
            {},
            URL,
            True,
        ),
        (
            f'[mirror]\nurl = "{OTHER}"\ncollection = "c"',
            {"HOTFIT_RUN_EXPORT__MONGODB__URL": URL},
            URL,
            True,
        ),
        (f'[run_export.mongodb]\nurl = "{URL}"\ncollection = "c"', {}, URL, False),
    ],
)
def test_the_former_section_of_run_exports_is_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: str,
    variables: dict[str, str],
    url: str,
    is_former: bool,
) -> None:
    """Runs go on to reach the application's collection after the upgrade."""
    file = tmp_path / "hotfit.toml"
    file.write_text(f"{lines}\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    warn_of_former_names()

    exported = load_settings(file).run_export.mongodb

    assert (exported.url, exported.collection) == (url, "c")
    assert unread_variables(variables) == []
    with capture_logs() as logs:
        warn_of_former_names()
    assert ["mirror is now called run_export.mongodb" in line["sentence"] for line in logs] == (
        [True] if is_former else []
    )


@pytest.mark.parametrize(
    "lines", ["mirror = 3", "[mirror]\nurll = 1", "run_export = 3\n[mirror]\nurl = 'x'"]
)
def test_a_wrong_former_section_is_refused_with_its_new_name(tmp_path: Path, lines: str) -> None:
    """The sentence names the section that the user has to write."""
    file = tmp_path / "hotfit.toml"
    file.write_text(f"{lines}\n")

    with pytest.raises(SettingsInvalid, match="run_export"):
        load_settings(file)
