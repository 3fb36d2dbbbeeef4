"""The thin shells: .sh and .bat say and take the same."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import check

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
PAIRS = ("start", "stop", "status", "test", "services/install", "services/uninstall")
OPTIONS = {"--help", "--dry-run", "--keep-data", "--dev"}
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]+")
BIN = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="runs the .sh scripts")


def first_comment(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(
        line.split(maxsplit=1)[1] for line in lines if re.match(r"(#|rem) ", line, re.IGNORECASE)
    )


@pytest.mark.parametrize("name", ["start", "stop", "status", "test"])
def test_both_shells_hand_over_to_the_same_python(name: str) -> None:
    """The logic is in one place; a shell that does more than the other is a defect."""
    texts = [(SCRIPTS / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("sh", "bat")]
    texts = [text.replace("%~dp0", "$here/") for text in texts]

    calls = [
        re.findall(r"(\w+\.py)\"?((?: --?\w+| (?:start|stop|status))*)", text) for text in texts
    ]

    assert sorted(calls[0]) == sorted(calls[1])
    assert first_comment(SCRIPTS / f"{name}.sh") == first_comment(SCRIPTS / f"{name}.bat")


@pytest.mark.parametrize("name", PAIRS)
def test_both_shells_know_the_same_options(name: str) -> None:
    """What the docs say holds on both systems."""
    known = []
    for kind in ("sh", "bat"):
        text = (SCRIPTS / f"{name}.{kind}").read_text(encoding="utf-8")
        known.append({option for option in OPTION.findall(text) if option in OPTIONS})

    assert known[0] == known[1]


@pytest.mark.parametrize("path", sorted(SCRIPTS.rglob("*.bat")), ids=lambda path: path.name)
def test_batch_files_have_the_line_ends_of_windows(path: Path) -> None:
    """cmd.exe loses labels in files with others."""
    content = path.read_bytes()

    assert content.count(b"\n") == content.count(b"\r\n")
    assert content.isascii(), "cmd.exe reads the console's code page"


def test_the_task_scheduler_runs_what_the_services_run() -> None:
    """Two ways to start at boot, one pair of daemons; Windows' PowerShell 5 reads ASCII rightly."""
    content = (SCRIPTS / "services" / "task-scheduler.ps1").read_bytes()
    nssm = (SCRIPTS / "services" / "windows_services.py").read_text(encoding="utf-8")

    text = content.decode("ascii")

    started = re.compile(r"['\"]-m (\w+_service)( run)?['\"]")
    assert set(started.findall(text)) == set(started.findall(nssm))
    assert "-m retrain_service once" in text
    assert content.count(b"\n") == content.count(b"\r\n")
    assert all(text.count(left) == text.count(right) for left, right in ("{}", "()", "[]"))


def test_services_write_where_the_configuration_says() -> None:
    """A service that looked elsewhere than the command line would train a model of its own."""
    folder = SCRIPTS / "services"

    for name in ("windows_services.py", "task-scheduler.ps1"):
        text = (folder / name).read_text(encoding="ascii")

        assert re.search(r"control\.py\W+home\b", text), name


@on_posix
@pytest.mark.parametrize("path", sorted(SCRIPTS.rglob("*.sh")), ids=lambda path: path.name)
def test_shell_scripts_parse_and_can_be_run(path: Path) -> None:
    """POSIX sh, as Debian's dash reads it."""
    parsed = subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True)

    assert parsed.returncode == 0, parsed.stderr
    if path.name != "find_python.sh":  # sourced
        assert os.access(path, os.X_OK)


@on_posix
@pytest.mark.skipif(shutil.which("shellcheck", path=BIN) is None, reason="needs shellcheck")
def test_shell_scripts_pass_shellcheck() -> None:
    """A word that splits or a failure that goes unnoticed shows on somebody else's machine."""
    shellcheck = shutil.which("shellcheck", path=BIN)
    assert shellcheck is not None

    checked = subprocess.run(
        [shellcheck, "--external-sources", "--source-path=SCRIPTDIR", *SCRIPTS.rglob("*.sh")],
        capture_output=True,
        text=True,
    )

    assert checked.returncode == 0, checked.stdout


@on_posix
@pytest.mark.parametrize("name", PAIRS)
def test_help_is_answered_from_any_folder_and_starts_nothing(name: str, tmp_path: Path) -> None:
    """The first thing that many people try."""
    told = subprocess.run(
        [str(SCRIPTS / f"{name}.sh"), "--help"],
        cwd=tmp_path,
        env={**os.environ, "HOTFIT_VENV": sys.prefix},
        capture_output=True,
        text=True,
    )

    assert told.returncode == 0
    assert Path(name).name in told.stdout
    assert list(tmp_path.iterdir()) == []


@on_posix
def test_before_the_first_start_status_and_stop_say_what_to_do(tmp_path: Path) -> None:
    """No "No such file or directory" from the shell."""
    for name in ("status", "stop"):
        told = subprocess.run(
            [str(SCRIPTS / f"{name}.sh")],
            env={**os.environ, "HOTFIT_VENV": str(tmp_path / "none")},
            capture_output=True,
            text=True,
        )

        assert told.returncode == 3
        assert "./scripts/start.sh" in told.stderr


@on_posix
def test_a_machine_without_python_is_told_what_to_install(tmp_path: Path) -> None:
    """Found, expected, and the one command."""
    dirname = shutil.which("dirname")
    assert dirname is not None
    (tmp_path / "dirname").symlink_to(dirname)

    told = subprocess.run(
        ["/bin/sh", str(SCRIPTS / "start.sh")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert told.returncode == 1
    assert "expected Python 3.11 or newer, found none" in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_check_runs_all_even_when_one_fails_and_returns_the_worst(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One run shows everything that is wrong."""
    failing = ("first", ("json.tool", "no-such-file"))
    monkeypatch.setattr(check, "CHECKS", (failing, ("second", ("platform",))))

    code = check.main(["--version"])

    told = capfd.readouterr().out
    assert code != 0
    assert "first: FAILED" in told
    assert "second: ok" in told
    assert told.strip().splitlines()[-2].startswith("pytest ")
    assert told.strip().splitlines()[-1] == "Failed: first."


def test_ci_runs_what_a_developer_runs() -> None:
    """One check command; nothing passes here and fails there."""
    text = (ROOT / ".ci" / "run").read_text()

    assert "./scripts/test.sh" in text
