"""Making .venv: once, again when the files change, on after an interruption, never over others."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.setup import environment
from scripts.setup.environment import SetupFailed

SETS: dict[str, tuple[str, ...]] = {"runtime": ("requirements.txt",)}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose requirements name nothing, so that pip needs no network and no time."""
    root = tmp_path / "pro ject"
    root.mkdir()
    (root / "requirements.txt").write_text("# nothing\n")
    monkeypatch.setattr(environment, "ROOT", root)
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One environment that was made from nothing; tests that change it put it back."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "requirements.txt").write_text("# nothing\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "ROOT", folder)
        environment.set_up(folder / "venv", SETS)
    return folder / "venv"


@pytest.fixture
def pip_calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What pip is asked for; it is still really asked."""
    calls: list[list[str]] = []
    real = environment.pip_install

    def recording(venv: Path, arguments: list[str], lock: int) -> None:
        calls.append(list(arguments))
        real(venv, arguments, lock)

    monkeypatch.setattr(environment, "pip_install", recording)
    return calls


def test_it_makes_an_environment_with_pip(made: Path) -> None:
    """From nothing but a Python."""
    python = environment.venv_python(made)

    version = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, text=True)

    assert version.returncode == 0
    assert str(made) in version.stdout


def test_a_second_set_up_asks_pip_nothing(
    root: Path, made: Path, pip_calls: list[list[str]]
) -> None:
    """Every start calls it; it must cost nothing when all is there."""
    environment.set_up(made, SETS)

    assert pip_calls == []


def test_a_changed_requirement_file_is_installed(
    root: Path, made: Path, pip_calls: list[list[str]]
) -> None:
    """After an update of the checkout the next start brings the packages up to it."""
    (root / "requirements.txt").write_text("# something else\n")
    environment.set_up(made, SETS)
    (root / "requirements.txt").write_text("# nothing\n")

    environment.set_up(made, SETS)

    assert len(pip_calls) == 2
    assert all("--ignore-installed" not in call for call in pip_calls)


def test_line_ends_are_no_change(root: Path, made: Path, pip_calls: list[list[str]]) -> None:
    """A checkout on Windows has others."""
    (root / "requirements.txt").write_bytes(b"# nothing\r\n")

    environment.set_up(made, SETS)

    assert pip_calls == []


def test_after_an_interruption_everything_is_laid_anew(
    root: Path, made: Path, pip_calls: list[list[str]]
) -> None:
    """A package that was half written looks whole to pip."""
    stamp = environment.read_stamp(made)
    environment.write_stamp(made, {**stamp, "installing": True})

    environment.set_up(made, SETS)

    assert [call[0] for call in pip_calls] == ["--ignore-installed"]
    assert environment.read_stamp(made) == stamp


def test_an_environment_of_another_python_is_made_anew(root: Path, tmp_path: Path) -> None:
    """After an upgrade of the system's Python the packages of the old one are of no use."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    environment.write_stamp(venv, {"python": "3.1", "installing": False, "sets": {}})
    (venv / "leftover").write_text("of the old one")

    environment.set_up(venv, SETS)

    assert not (venv / "leftover").exists()
    assert environment.read_stamp(venv)["python"] == environment.version_of(Path(sys.executable))


def test_a_folder_with_other_things_is_not_touched(root: Path, tmp_path: Path) -> None:
    """A typing error in HOTFIT_VENV must not fill somebody's documents."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "thesis.txt").write_text("important")

    with pytest.raises(SetupFailed, match="expected a virtual environment"):
        environment.set_up(folder, SETS)

    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_a_failed_installation_shows_what_pip_said_and_is_tried_again(
    root: Path, made: Path, pip_calls: list[list[str]]
) -> None:
    """Its last lines, not two hundred; and the next start does not think that all is well."""
    (root / "requirements.txt").write_text("./no-such-folder-here\n")

    with pytest.raises(SetupFailed, match="no-such-folder-here"):
        environment.set_up(made, SETS)

    (root / "requirements.txt").write_text("# nothing\n")
    environment.set_up(made, SETS)
    assert len(pip_calls) == 2


def test_two_starts_at_once_install_once(root: Path, tmp_path: Path) -> None:
    """Somebody is impatient and calls start.sh in a second window."""
    venv = tmp_path / "venv"
    code = (
        "import sys, pathlib; from scripts.setup import environment as setup_env;"
        "setup_env.ROOT = pathlib.Path(sys.argv[1]);"
        "setup_env.set_up(pathlib.Path(sys.argv[2]), {'runtime': ('requirements.txt',)})"
    )
    command = [sys.executable, "-c", code, str(root), str(venv)]
    project = Path(__file__).resolve().parents[3]

    both = [
        subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [each.communicate(timeout=60)[0] for each in both]

    assert [each.returncode for each in both] == [0, 0]
    assert "".join(told).count("Installing the pinned packages") == 1


def test_an_old_python_is_named_with_what_was_expected() -> None:
    """Found, expected, and what to do."""
    with pytest.raises(SetupFailed) as caught:
        environment.check_python((3, 9, 2))

    assert "expected Python 3.11 or newer, found 3.9.2" in str(caught.value)
    assert "apt-get install" in str(caught.value)


def test_every_pinned_file_is_part_of_a_set() -> None:
    """A requirement file that no set names is never installed."""
    project = Path(__file__).resolve().parents[3]
    named = {*environment.RUNTIME, *environment.DEVELOPMENT, *environment.DATA_ONLY}

    found = {
        path.relative_to(project).as_posix()
        for folder in (project, project / "tests")
        for path in folder.glob("requirements*.txt")
    }

    assert found == named


PINNED = (*environment.RUNTIME, *environment.DEVELOPMENT, *environment.DATA_ONLY)


def pins(name: str) -> list[str]:
    """The requirements of a file, one a line with its digests."""
    text = (Path(__file__).resolve().parents[3] / name).read_text(encoding="utf-8")
    lines = text.replace("\\\n", "").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("name", PINNED)
def test_every_requirement_is_pinned_with_the_digests_of_its_files(name: str) -> None:
    """Two machines that set up on different days, by way of different mirrors, run the same."""
    for line in pins(name):
        assert re.fullmatch(r"[\w.\[\]-]+==[^ ]+( *;.*?)?(\s+--hash=sha256:[0-9a-f]{64})+", line), (
            line
        )


def test_every_dependency_that_is_declared_is_pinned_as_declared() -> None:
    """After a change of pyproject.toml somebody must run scripts/pin_packages.py."""
    root = Path(__file__).resolve().parents[3]
    declared = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    groups = declared["dependency-groups"]
    wanted = {
        "requirements.txt": declared["project"]["dependencies"],
        "requirements-dev.txt": [*declared["project"]["dependencies"], *groups["dev"]],
        "tests/requirements-data.txt": groups["test-data"],
        "tests/requirements-clients.txt": groups["test-clients"],
    }
    assert wanted.keys() == set(PINNED)

    for name, dependencies in wanted.items():
        found: dict[str, list[str]] = {}
        for line in pins(name):
            pin = Requirement(line.partition(" --hash")[0].strip())
            found.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier)[2:])
        for dependency in map(Requirement, dependencies):
            versions = found.get(canonicalize_name(dependency.name), [])
            assert versions, f"{name}: {dependency} is not pinned"
            assert all(dependency.specifier.contains(each, prereleases=True) for each in versions)


@pytest.mark.parametrize(
    ("digest", "said"),
    [
        ("that of the file", None),
        (64 * "0", "DO NOT MATCH THE HASHES"),
        ("", "Hashes are required"),
    ],
)
def test_nothing_is_installed_whose_digest_is_not_the_pinned_one(
    root: Path,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    digest: str,
    said: str | None,
) -> None:
    """A mirror, or a file in a folder of wheels, may hold anything under the right name."""
    wheel = tmp_path / "hotfit_test_package-1.0-py3-none-any.whl"
    write_wheel(wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    found = hashlib.sha256(wheel.read_bytes()).hexdigest() if said is None else digest
    pin = "hotfit-test-package==1.0" + (f" --hash=sha256:{found}" if found else "")
    (root / "requirements.txt").write_text(f"{pin}\n")

    if said is None:
        environment.set_up(made, SETS)
    else:
        with pytest.raises(SetupFailed, match=said):
            environment.set_up(made, SETS)

    listed = subprocess.run(
        [environment.venv_python(made), "-m", "pip", "uninstall", "-y", "hotfit-test-package"],
        capture_output=True,
        text=True,
    )
    assert ("Successfully uninstalled" in listed.stdout) == (said is None)
    (root / "requirements.txt").write_text("# nothing\n")
    environment.set_up(made, SETS)


def write_wheel(path: Path) -> None:
    info = "hotfit_test_package-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("hotfit_test_package.py", "")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: hotfit-test-package\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
