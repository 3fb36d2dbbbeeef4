"""Making .venv: once, again when the files change, on after an interruption, never over others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import setup_env
from scripts.setup_env import SetupFailed

SETS: dict[str, tuple[str, ...]] = {"runtime": ("requirements.txt",)}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose requirements name nothing, so that pip needs no network and no time."""
    root = tmp_path / "pro ject"
    root.mkdir()
    (root / "requirements.txt").write_text("# nothing\n")
    monkeypatch.setattr(setup_env, "ROOT", root)
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One environment that was made from nothing; tests that change it put it back."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "requirements.txt").write_text("# nothing\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup_env, "ROOT", folder)
        setup_env.set_up(folder / "venv", SETS)
    return folder / "venv"


@pytest.fixture
def pip_calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What pip is asked for; it is still really asked."""
    calls: list[list[str]] = []
    real = setup_env.pip_install

    def recording(venv: Path, arguments: list[str], lock: int) -> None:
        calls.append(list(arguments))
        real(venv, arguments, lock)

    monkeypatch.setattr(setup_env, "pip_install", recording)
    return calls


def test_it_makes_an_environment_with_pip(made: Path) -> None:
    """From nothing but a Python."""
    python = setup_env.venv_python(made)

    version = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, text=True)

    assert version.returncode == 0
    assert str(made) in version.stdout


def test_a_second_set_up_asks_pip_nothing(
    root: Path, made: Path, pip_calls: list[list[str]]
) -> None:
    """Every start calls it; it must cost nothing when all is there."""
    setup_env.set_up(made, SETS)

    assert pip_calls == []


def test_a_changed_requirement_file_is_installed(
    root: Path, made: Path, pip_calls: list[list[str]]
) -> None:
    """After an update of the checkout the next start brings the packages up to it."""
    (root / "requirements.txt").write_text("# something else\n")
    setup_env.set_up(made, SETS)
    (root / "requirements.txt").write_text("# nothing\n")

    setup_env.set_up(made, SETS)

    assert len(pip_calls) == 2
    assert all("--ignore-installed" not in call for call in pip_calls)


def test_line_ends_are_no_change(root: Path, made: Path, pip_calls: list[list[str]]) -> None:
    """A checkout on Windows has others."""
    (root / "requirements.txt").write_bytes(b"# nothing\r\n")

    setup_env.set_up(made, SETS)

    assert pip_calls == []


def test_after_an_interruption_everything_is_laid_anew(
    root: Path, made: Path, pip_calls: list[list[str]]
) -> None:
    """A package that was half written looks whole to pip."""
    stamp = setup_env.read_stamp(made)
    setup_env.write_stamp(made, {**stamp, "installing": True})

    setup_env.set_up(made, SETS)

    assert [call[0] for call in pip_calls] == ["--ignore-installed"]
    assert setup_env.read_stamp(made) == stamp


def test_an_environment_of_another_python_is_made_anew(root: Path, tmp_path: Path) -> None:
    """After an upgrade of the system's Python the packages of the old one are of no use."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    setup_env.write_stamp(venv, {"python": "3.1", "installing": False, "sets": {}})
    (venv / "leftover").write_text("of the old one")

    setup_env.set_up(venv, SETS)

    assert not (venv / "leftover").exists()
    assert setup_env.read_stamp(venv)["python"] == setup_env.version_of(Path(sys.executable))


def test_a_folder_with_other_things_is_not_touched(root: Path, tmp_path: Path) -> None:
    """A typing error in HOTFIT_VENV must not fill somebody's documents."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "thesis.txt").write_text("important")

    with pytest.raises(SetupFailed, match="expected a virtual environment"):
        setup_env.set_up(folder, SETS)

    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_a_failed_installation_shows_what_pip_said_and_is_tried_again(
    root: Path, made: Path, pip_calls: list[list[str]]
) -> None:
    """Its last lines, not two hundred; and the next start does not think that all is well."""
    (root / "requirements.txt").write_text("./no-such-folder-here\n")

    with pytest.raises(SetupFailed, match="no-such-folder-here"):
        setup_env.set_up(made, SETS)

    (root / "requirements.txt").write_text("# nothing\n")
    setup_env.set_up(made, SETS)
    assert len(pip_calls) == 2


def test_two_starts_at_once_install_once(root: Path, tmp_path: Path) -> None:
    """Somebody is impatient and calls start.sh in a second window."""
    venv = tmp_path / "venv"
    code = (
        "import sys, pathlib; from scripts import setup_env;"
        "setup_env.ROOT = pathlib.Path(sys.argv[1]);"
        "setup_env.set_up(pathlib.Path(sys.argv[2]), {'runtime': ('requirements.txt',)})"
    )
    command = [sys.executable, "-c", code, str(root), str(venv)]
    project = Path(__file__).resolve().parents[2]

    both = [
        subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [each.communicate(timeout=60)[0] for each in both]

    assert [each.returncode for each in both] == [0, 0]
    assert "".join(told).count("Installing the pinned packages") == 1


def test_an_old_python_is_named_with_what_was_expected() -> None:
    """Found, expected, and what to do."""
    with pytest.raises(SetupFailed) as caught:
        setup_env.check_python((3, 9, 2))

    assert "expected Python 3.11 or newer, found 3.9.2" in str(caught.value)
    assert "apt-get install" in str(caught.value)


def test_every_pinned_file_is_part_of_a_set() -> None:
    """A requirement file that no set names is never installed."""
    project = Path(__file__).resolve().parents[2]
    named = {*setup_env.RUNTIME, *setup_env.DEVELOPMENT, *setup_env.DATA_ONLY}

    found = {
        path.relative_to(project).as_posix()
        for folder in (project, project / "tests")
        for path in folder.glob("requirements*.txt")
    }

    assert found == named


def test_every_requirement_is_pinned() -> None:
    """Two machines that set up on different days run the same code."""
    project = Path(__file__).resolve().parents[2]
    for name in (*setup_env.RUNTIME, *setup_env.DEVELOPMENT, *setup_env.DATA_ONLY):
        for line in (project / name).read_text().splitlines():
            requirement = line.split("#")[0].strip()
            assert not requirement or "==" in requirement, f"{name}: {line}"
