"""Upgrades under load: to code that works, to code that does not, and what is left of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.scripts.services.linux.site import API, RETRAIN, Site

# File of a newer checkout -> the fault at its end: one that no import survives, one that shows
# when a worker starts, one that shows when the retrain daemon does.
_SYNTAX, _WORKER, _LOOP = (
    "api_service/app.py",
    "api_service/worker/start.py",
    "retrain_service/retrain_loop.py",
)
_FAULTS = {
    _SYNTAX: "def (",
    _WORKER: "def start_worker(*_):\n    raise RuntimeError('made to fail')",
    _LOOP: "def _fail(*_):\n    raise RuntimeError('made to fail')\nRetrainLoop.initialize = _fail",
}
GIVE_UP_WITHIN_S = 180.0


class Upgrades:
    """What `install.sh` of a newer checkout does to a site that serves.

    Args:
        newer: a checkout that works; those that do not are made here.
    """

    def __init__(self, site: Site, newer: str) -> None:
        self._site, self._machine = site, site.machine
        self._newer = newer
        self._broken = {
            file: self._bring_broken(f"broken{n}", file, fault)
            for n, (file, fault) in enumerate(_FAULTS.items())
        }

    def claims(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("upgrade under load: no request fails", self.to_newer_code),
            ("upgrade to a syntax error: told, nothing is touched", self.to_no_code),
            ("upgrade to workers that die: told, the old one goes on", self.to_dying),
            ("upgrade to a training daemon that dies: gone back", self.to_no_training),
            ("a configuration that cannot be used is not put in place", self.wrong_config),
        ]

    def to_newer_code(self) -> str:
        pid = self._machine.main_pid(API)
        former = self._machine.run("readlink", "-f", "/opt/hotfit/current").strip()
        with self._site.under_load() as load:
            time.sleep(1)
            began = time.monotonic()
            self._site.script(self._newer, "install.sh")
            took_s = time.monotonic() - began
            time.sleep(1)
        assert load["failures"] == [], load
        assert load["stuck"] == 0, load
        now = self._machine.run("readlink", "-f", "/opt/hotfit/current").strip()
        assert "0.2.0" in now
        assert now != former
        main = self._machine.main_pid(API)
        assert main != pid
        assert self._machine.run("readlink", f"/proc/{main}/cwd").strip() == now
        assert self._machine.property("hotfit-api-standby.service", "ActiveState") == "inactive"
        assert not (self._machine.root / former[1:]).exists(), "the old release is gone"
        return f"{took_s:.1f} s; {in_words(load)}"

    def to_no_code(self) -> str:
        pids = self._main_pids()
        seen = self._give_up(_SYNTAX, "api_service.app cannot be imported: SyntaxError")
        assert self._main_pids() == pids
        releases = self._machine.root / "opt/hotfit/releases"
        assert not list(releases.glob("0.3.0*")), "the release that cannot start is gone"
        return seen

    def to_dying(self) -> str:
        pids = self._main_pids()
        seen = self._give_up(_WORKER, "hotfit-api-standby does not come up")
        assert self._main_pids() == pids
        assert "made to fail" in self._site.log_of("hotfit-api-standby.service")
        return seen

    def to_no_training(self) -> str:
        pid = self._machine.main_pid(API)
        seen = self._give_up(_LOOP, "hotfit-retrain does not come up")
        assert self._machine.main_pid(API) == pid
        former = self._machine.run("readlink", "-f", "/opt/hotfit/current").strip()
        main = self._machine.main_pid(RETRAIN)
        assert self._machine.run("readlink", f"/proc/{main}/cwd").strip() == former
        return seen

    def wrong_config(self) -> str:
        place = self._machine.root / "etc/hotfit/hotfit.toml"
        before, pids = place.read_text(), self._main_pids()
        (self._machine.root / "srv/wrong.toml").write_text("[api]\nprot = 1\n")
        told = self._site.script_fails(
            self._newer, "install.sh", "--config", "/srv/wrong.toml", code=2
        )
        assert "prot" in told, told
        assert "Nothing was changed; what ran goes on." in told, told
        assert place.read_text() == before
        assert self._main_pids() == pids
        return "install.sh ends with 2"

    def _give_up(self, fault: str, because: str) -> str:
        """Upgrade to a broken checkout under load: told in time, no request noticed."""
        units = self._unit_files()
        with self._site.under_load() as load:
            time.sleep(1)
            began = time.monotonic()
            told = self._site.script_fails(self._broken[fault], "install.sh", code=1)
            took_s = time.monotonic() - began
            time.sleep(1)
        assert because in told, told
        assert load["failures"] == [], load
        assert load["stuck"] == 0, load
        assert took_s < GIVE_UP_WITHIN_S
        assert "0.2.0" in self._machine.run("readlink", "-f", "/opt/hotfit/current")
        assert self._unit_files() == units
        for unit in (API, RETRAIN):
            assert self._machine.is_active(unit), self._site.log_of(unit)
        standby = self._machine.property("hotfit-api-standby.service", "ActiveState")
        assert standby == "inactive", standby
        return f"install.sh ends with 1 after {took_s:.1f} s; {in_words(load)}"

    def _bring_broken(self, name: str, file: str, fault: str) -> str:
        checkout = self._site.bring_checkout(name, "0.3.0")
        with (self._machine.root / checkout[1:] / file).open("a") as code:
            code.write(f"\n\n{fault}\n")
        return checkout

    def _main_pids(self) -> list[int]:
        return [self._machine.main_pid(unit) for unit in (API, RETRAIN)]

    def _unit_files(self) -> dict[str, str]:
        folder = self._machine.root / "etc/systemd/system"
        return {path.name: path.read_text() for path in folder.glob("hotfit*") if path.is_file()}


def in_words(load: dict[str, Any]) -> str:
    """What the load has seen."""
    return (
        f"{load['answered']} answered, {len(load['failures'])} failed,"
        f" longest {load['longest_ms']} ms, p99 {load['p99_ms']} ms,"
        f" {load['reconnected']} idle connections opened anew"
    )
