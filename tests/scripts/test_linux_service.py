"""The units, the timer, and what install.sh and uninstall.sh say they would do.

Whether all of it works is shown on a booted machine: `python -m tests.scripts.services.linux`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ROOT / "scripts" / "services"
UNITS = sorted(
    path for kind in ("service", "socket", "target", "timer") for path in SERVICES.glob(f"*.{kind}")
)
HARDENED = [unit for unit in UNITS if unit.suffix == ".service"]
SECURITY_LIMIT = 2.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd is Linux only")
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze"
)


@pytest.fixture(scope="session")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of all units, with a Python and a folder that are there."""
    folder = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        text = text.replace("/opt/hotfit/current/.venv/bin/python", sys.executable)
        # A template is verified as one of its instances.
        name = unit.name.replace("@.", "@some_model.")
        (folder / name).write_text(text.replace("/opt/hotfit/current", str(ROOT)))
    return folder


@needs_systemd
def test_the_units_are_what_systemd_takes(units: Path) -> None:
    """A unit with an unknown word is loaded all the same, without what the word was for."""
    verified = subprocess.run(
        ["systemd-analyze", "verify", *sorted(units.iterdir())], capture_output=True, text=True
    )

    assert verified.returncode == 0, verified.stderr
    assert "hotfit" not in verified.stderr, verified.stderr


@needs_systemd
@pytest.mark.parametrize("unit", HARDENED, ids=lambda unit: unit.name)
def test_the_services_may_do_little(unit: Path, units: Path) -> None:
    """A daemon that is taken over must not become the machine's."""
    copy = units / unit.name.replace("@.", "@some_model.")

    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", copy],
        capture_output=True,
        text=True,
    ).stdout

    found = re.search(r"exposure level for .*: ([0-9.]+)", told)
    assert found, told
    assert float(found[1]) <= SECURITY_LIMIT, told


def test_the_units_run_what_the_scripts_run() -> None:
    """One way to start a daemon, whoever starts it."""
    from scripts.daemons.processes import DAEMONS

    commands = {
        line.split(" -m ", 1)[1]
        for unit in HARDENED
        for line in unit.read_text(encoding="utf-8").splitlines()
        if line.startswith("ExecStart=")
    }

    assert commands == {
        *(" ".join(daemon.arguments) for daemon in DAEMONS),
        "api_service --standby",
        "retrain_service once --model %i",
    }


def test_the_standby_lives_under_the_same_rules_as_the_daemon() -> None:
    """It answers the same requests; a rule that is added to one of them is missed by the other."""

    def rules(name: str) -> set[str]:
        lines = (SERVICES / name).read_text(encoding="utf-8").splitlines()
        differing = (
            "Description=",
            "ExecStart=",
            "Restart",
            "TimeoutStartSec=",
            "After=",
            "Wants=",
            "WantedBy=",
            "Also=",
        )
        return {
            line
            for line in lines
            if line and not line.startswith(("#", "StartLimit", "[", *differing))
        }

    assert rules("hotfit-api.service") == rules("hotfit-api-standby.service")


def test_who_shares_the_port_never_waits_in_accept() -> None:
    """systemd sets the shared socket to block when it starts a service that says nothing of it.

    The other instance, which serves, would then hang in accept() and answer nobody for seconds.
    """
    sharing = [unit for unit in HARDENED if "\nSockets=" in unit.read_text(encoding="utf-8")]

    assert len(sharing) == 2
    for unit in sharing:
        assert "\nNonBlocking=yes\n" in unit.read_text(encoding="utf-8"), unit.name


def dry_run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SERVICES / name, *arguments],
        env={**os.environ, "HOTFIT_PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )


def steps_of(told: str) -> list[str]:
    """The steps without what differs from checkout to checkout."""
    told = re.sub(r"releases/[\w.-]+-[0-9a-f]{10}", "releases/ID", told)
    told = re.sub(r"venvs/py[\d.]+-[0-9a-f]{10}", "venvs/ID", told)
    told = told.replace(sys.executable, "PYTHON").replace(str(ROOT), "CHECKOUT")
    return [line for line in told.splitlines() if line.startswith("would ")]


@pytest.mark.skipif(Path("/etc/hotfit").exists(), reason="Hotfit is installed on this machine")
def test_a_dry_run_of_install_shows_every_step_in_its_order(tmp_path: Path) -> None:
    """Somebody wants to know what an installer does before it does it; the order is its safety."""
    config = tmp_path / "hotfit.toml"
    config.write_text("")

    told = dry_run("install.sh", "--dry-run", "--config", str(config))

    assert told.returncode == 0, told.stderr
    steps = steps_of(told.stdout)
    expected = (
        "would run: useradd --system",
        "would run: mkdir -p /opt/hotfit/releases",
        "would run: cp -R CHECKOUT/api_service /opt/hotfit/releases/.new/api_service",
        "would run: mv -T /opt/hotfit/releases/.new /opt/hotfit/releases/ID",
        "would run: env HOTFIT_VENV=/opt/hotfit/venvs/ID PYTHON",
        f"would run: cp {config} /etc/hotfit/.hotfit.toml.new",
        "would run: mv /etc/hotfit/.hotfit.toml.new /etc/hotfit/hotfit.toml",
        "would write: /etc/systemd/system/hotfit-api-standby.service",
        "would write: /etc/systemd/system/hotfit-api.service",
        "would write: /etc/systemd/system/hotfit.target",
        "would run: systemctl daemon-reload",
        "would run: mv -T /opt/hotfit/.current /opt/hotfit/current",
        "would run: systemctl enable --quiet hotfit.target hotfit-api.socket hotfit-api.service",
        "would run: systemctl restart hotfit-retrain.service",
        "would run: systemctl restart hotfit-api.service",
        "would run: systemctl start hotfit.target",
    )
    found = iter(steps)
    for step in expected:
        assert any(line.startswith(step) for line in found), (
            f"{step}\nnot in its place in:\n{steps}"
        )
    assert not Path("/opt/hotfit").exists()
    assert not Path("/etc/hotfit").exists()


def test_a_prefix_is_where_everything_of_the_code_goes(tmp_path: Path) -> None:
    """A machine whose /opt is read-only."""
    told = dry_run("install.sh", "--dry-run", "--prefix", "/srv/hotfit")

    assert told.returncode == 0, told.stderr
    assert "/srv/hotfit/releases" in told.stdout
    assert "/opt/hotfit" not in told.stdout


@pytest.mark.parametrize(
    ("arguments", "removes"),
    [
        ((), {"/opt/hotfit", "/etc/hotfit", "/var/lib/hotfit", "user"}),
        (("--keep-data",), {"/opt/hotfit"}),
    ],
)
def test_a_dry_run_of_uninstall_says_what_goes_and_what_stays(
    arguments: tuple[str, ...], removes: set[str]
) -> None:
    """Models and keys that are gone do not come back."""
    told = dry_run("uninstall.sh", "--dry-run", *arguments)

    assert told.returncode == 0, told.stderr
    found = {
        path
        for path in ("/opt/hotfit", "/etc/hotfit", "/var/lib/hotfit")
        if re.search(rf"would run: rm -rf( \S+)* {path}( |$)", told.stdout, re.MULTILINE)
    }
    if "would run: userdel hotfit" in told.stdout:
        found.add("user")
    assert found == removes


@pytest.mark.parametrize("name", ["install.sh", "uninstall.sh"])
@pytest.mark.parametrize("wrong", [("--dryrun",), ("--prefix",)])
def test_an_option_that_is_not_understood_does_nothing(name: str, wrong: tuple[str, ...]) -> None:
    """A slip of the finger must not install, and far less remove."""
    told = dry_run(name, *wrong)

    assert told.returncode == 2
    assert "would" not in told.stdout
    assert "expected" in told.stderr


@pytest.mark.parametrize("prefix", ["relative", "/with space", "/a;rm"])
def test_a_prefix_that_cannot_stand_in_a_unit_is_refused(prefix: str) -> None:
    """It is written into files that systemd splits at spaces."""
    told = dry_run("install.sh", "--dry-run", "--prefix", prefix)

    assert told.returncode == 2
    assert "expected an absolute path" in told.stderr


def test_uninstall_refuses_a_folder_that_is_not_an_installation(tmp_path: Path) -> None:
    """`--prefix /home` must not remove /home."""
    (tmp_path / "something").write_text("of somebody else")

    told = dry_run("uninstall.sh", "--dry-run", "--prefix", str(tmp_path))

    assert told.returncode == 1
    assert "Nothing was removed" in told.stderr


def test_the_cron_line_is_one_that_cron_takes() -> None:
    """Five times, a user, one command; a percent sign would be a line end to cron."""
    lines = (SERVICES / "hotfit.cron").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line and not re.match(r"#|[A-Z_]+=", line)]

    assert len(entries) == 1
    *times, user, command = entries[0].split(maxsplit=6)
    assert all(re.fullmatch(r"[\d*,/-]+", time) for time in times)
    assert user == "hotfit"
    assert "%" not in command
    assert subprocess.run(["sh", "-n", "-c", command]).returncode == 0


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="needs logrotate")
def test_the_log_rotation_is_what_logrotate_takes(tmp_path: Path) -> None:
    """logrotate skips a file that it cannot read, and logs grow."""
    copy = tmp_path / "hotfit"
    copy.write_text((SERVICES / "hotfit.logrotate").read_text(encoding="utf-8"))
    copy.chmod(0o644)

    checked = subprocess.run(
        ["logrotate", "--debug", "--state", tmp_path / "state", copy],
        capture_output=True,
        text=True,
    )

    assert checked.returncode == 0, checked.stderr
    assert "error" not in checked.stderr.lower(), checked.stderr
