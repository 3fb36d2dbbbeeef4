"""What install.bat and uninstall.bat do, as far as it goes without Windows; the rest runs in wine:
`python -m tests.scripts.services.windows`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.services import windows_services
from scripts.services.windows_services import DATABASES, FOLDERS, SERVICES, Place, settings
from shared.settings.root import Settings

HERE = Path(windows_services.__file__)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with something of ours and something of somebody else's, and no config."""
    folder = tmp_path / "Program Files (x86)" / "data"
    for name in ("models/m/versions", "keys"):
        (folder / name).mkdir(parents=True)
    for name in ("keys/admin.key", "run_log.sqlite", "run_log.sqlite-wal", "demo.db"):
        (folder / name).write_text("x")
    monkeypatch.setenv("HOTFIT_HOME", str(folder))
    monkeypatch.setenv("HOTFIT_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setenv("HOTFIT_VENV", str(tmp_path / "none"))
    return folder


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HERE), *arguments], capture_output=True, text=True, timeout=60
    )


def test_a_dry_run_shows_each_step_with_its_quotes_and_takes_none(home: Path) -> None:
    """Whoever copies a line from it to a prompt gets the same service."""
    before = sorted(home.rglob("*"))

    told = run("install", "--dry-run")

    assert told.returncode == 0, told.stderr
    assert f'AppStdout "{home / "logs" / "api_service.log"}"' in told.stdout
    assert 'AppParameters "-m retrain_service run"' in told.stdout
    assert told.stdout.count("nssm start") == len(SERVICES)
    assert sorted(home.rglob("*")) == before


def test_without_a_configuration_nothing_is_installed(home: Path) -> None:
    """A service that runs on made-up data would be taken for the real one."""
    told = run("install")

    assert told.returncode == 1
    assert "none.toml" in told.stderr
    assert not (home / "logs").exists()


def test_uninstalling_leaves_what_is_not_ours(home: Path) -> None:
    """A data folder may be shared with the database that is read."""
    assert run("uninstall", "--dry-run").returncode == 0
    assert run("uninstall", "--keep-data").returncode == 0
    assert (home / "keys" / "admin.key").exists()

    for _ in range(2):
        told = run("uninstall")
        assert told.returncode == 0, told.stderr

    assert [path.name for path in home.iterdir()] == ["demo.db"]


def test_everything_that_the_daemons_write_is_known(tmp_path: Path) -> None:
    """A folder that is added to the settings must not survive its service."""
    found = Settings(home=tmp_path)
    named = [
        getattr(found, name)
        for name, value in vars(Settings).items()
        if isinstance(value, property) and name.endswith(("_dir", "_path"))
    ]
    written = {path.relative_to(tmp_path).parts[0] for path in named}

    assert written == {*FOLDERS, *DATABASES}


def test_a_service_comes_back_but_not_when_the_configuration_is_wrong(tmp_path: Path) -> None:
    """Exit code 2 is what both daemons say about that; see their `main`."""
    place = Place(tmp_path / "venv", tmp_path / "hotfit.toml", tmp_path / "home")

    for service in SERVICES:
        steps = settings(service, place)

        assert ("set", service.name, "AppExit", "Default", "Restart") in steps
        assert ("set", service.name, "AppExit", "2", "Exit") in steps
        assert ("set", service.name, "Start", "SERVICE_AUTO_START") in steps
