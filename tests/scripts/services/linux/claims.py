"""What the Linux service is said to do, each shown on a real machine, in the order of a life.

Each function raises AssertionError when its sentence is not true and returns what was seen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial

from tests.scripts.services.linux.site import API, RETRAIN, SOCKET, Site, files_below
from tests.scripts.services.linux.upgrades import Upgrades, in_words
from tests.support.waiting import wait_until

WATCHED = ("etc", "opt", "usr/local", "usr/lib/systemd", "usr/lib/sysusers.d", "var/lib", "home")
_ACCOUNTS = ("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow")
# Copies that the account tools and systemd themselves keep of what was before.
_OF_THE_SYSTEM = re.compile(r"etc/(passwd|group|shadow|gshadow|subuid|subgid)-$|var/lib/systemd/")
SECURITY_LIMIT = 2.0


class Life:
    """One site from its first to its last moment; what a claim leaves for a later one."""

    def __init__(self, site: Site) -> None:
        self.site, self.machine = site, site.machine
        self.first = site.bring_checkout("first", "0.1.0")
        self.second = site.bring_checkout("second", "0.2.0")
        self.upgrades = Upgrades(site, self.second)
        self.config = ""
        self.files: set[str] = set()
        self.accounts: list[str] = []

    def claims(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("a dry run changes nothing", self.dry_run),
            ("install: both daemons ready, as user hotfit", self.install),
            ("hardened: systemd-analyze security at most 2.0", self.security),
            ("the first model is trained and a prediction answered", self.first_prediction),
            ("systemctl status says how it is", self.status_line),
            ("install again changes nothing", self.install_again),
            ("new data: trained, published and swapped inside the walls", self.new_data),
            ("kill -9 of the API: no connection is refused", self.kill_api),
            ("kill -9 of a worker: replaced, nothing restarted", self.kill_worker),
            ("kill -9 of the retrain daemon: comes back", self.kill_retrain),
            ("frozen daemons (SIGSTOP) are restarted by the watchdog", self.freeze),
            ("a frozen worker is replaced, nothing restarted", self.freeze_worker),
            ("reboot: both come back by themselves", self.reboot),
            *self.upgrades.claims(),
            ("timer instead of the daemon: trains and publishes", self.timer),
            ("the cron line trains and publishes", self.cron),
            ("logs are in the journal, one JSON object a line", self.journal),
            ("uninstall --keep-data, install: the same version serves", self.keep_data),
            ("uninstall leaves nothing", self.uninstall),
        ]

    # -- install -----------------------------------------------------------------------------------

    def dry_run(self) -> str:
        self.config = self.site.bring_shop()
        self.files = files_below(self.machine.root, WATCHED)
        self.accounts = self._accounts()
        told = self.site.script(self.first, "install.sh", "--dry-run", "--config", self.config)
        assert files_below(self.machine.root, WATCHED) == self.files
        return f"{told.count('would ')} steps shown"

    def install(self) -> str:
        self.site.script(self.first, "install.sh", "--config", self.config)
        for unit in (API, RETRAIN):
            assert self.machine.is_active(unit), self.site.log_of(unit)
        # Ready is when it answers: at once after install.sh, without waiting.
        status, _ = self.site.ask("/livez")
        assert status == 200
        users = self.machine.run("ps", "--no-headers", "-o", "user=", "--pid", self._pids())
        assert set(users.split()) == {"hotfit"}, users
        return f"first answer {status} at once; port held by {SOCKET}"

    def security(self) -> str:
        found = {}
        for unit in (API, RETRAIN, "hotfit-api-standby.service", "hotfit-once@x.service"):
            told = self.machine.run("systemd-analyze", "security", "--no-pager", unit)
            match = re.search(r"exposure level for .*: ([0-9.]+)", told)
            assert match, told
            found[unit.removesuffix(".service")] = float(match[1])
        assert max(found.values()) <= SECURITY_LIMIT, found
        return ", ".join(f"{unit} {score}" for unit, score in found.items())

    def first_prediction(self) -> str:
        version = self.site.wait_until_served()
        return f"{version} answers"

    def status_line(self) -> str:
        def told() -> str:
            api = self.machine.property(API, "StatusText")
            return api if "spare_parts" in api else ""

        api = wait_until(told, 30, "the health sentence")
        retrain = self.machine.property(RETRAIN, "StatusText")
        assert "1 model" in retrain, retrain
        return f"{api} | {retrain}"

    def install_again(self) -> str:
        before = [self.machine.main_pid(unit) for unit in (API, RETRAIN)]
        self.site.script(self.first, "install.sh")
        assert [self.machine.main_pid(unit) for unit in (API, RETRAIN)] == before
        return f"main processes still {before}"

    def new_data(self) -> str:
        former = self.site.wait_until_served()
        self.site.demo_data("add", "12")
        return f"{former} -> {self.site.wait_until_served(other_than=former)}"

    # -- accidents ---------------------------------------------------------------------------------

    def kill_api(self) -> str:
        pid = self.machine.main_pid(API)
        with self.site.under_load() as load:
            time.sleep(1)
            self.machine.run("kill", "-KILL", str(pid))
            began = time.monotonic()
            self.site.wait_until_restarted(API, pid, 60)
            took_s = time.monotonic() - began
        refused = [each for each in load["failures"] if "refused" in each.lower()]
        assert not refused, load
        # What a killed process was working on is lost with it, and no more than that.
        assert len(load["failures"]) <= 4, load
        return f"up again after {took_s:.1f} s; {in_words(load)}"

    def kill_worker(self) -> str:
        main, workers = self.machine.main_pid(API), self.site.workers()
        self.machine.run("kill", "-KILL", str(workers[0]))
        began = time.monotonic()

        def replaced() -> bool:
            now = self.site.workers()
            return len(now) == len(workers) and workers[0] not in now

        wait_until(replaced, 30, "another worker")
        assert self.machine.main_pid(API) == main
        return f"replaced after {time.monotonic() - began:.1f} s"

    def kill_retrain(self) -> str:
        pid = self.machine.main_pid(RETRAIN)
        self.machine.run("kill", "-KILL", str(pid))
        began = time.monotonic()
        self.site.wait_until_restarted(RETRAIN, pid, 60)
        return f"up again after {time.monotonic() - began:.1f} s"

    def freeze(self) -> str:
        pids = {unit: self.machine.main_pid(unit) for unit in (API, RETRAIN)}
        began = time.monotonic()
        for pid in pids.values():
            self.machine.run("kill", "-STOP", str(pid))
        took = []
        for unit, limit_s in ((API, 120), (RETRAIN, 240)):
            self.site.wait_until_restarted(unit, pids[unit], limit_s)
            took.append(f"{unit.removesuffix('.service')} {time.monotonic() - began:.0f} s")
            assert (
                "watchdog"
                in self.machine.run("journalctl", "--no-pager", "-u", unit, "-o", "cat").lower()
            )
        self.site.wait_until_served()
        return "up again after " + ", ".join(took)

    def freeze_worker(self) -> str:
        main, workers = self.machine.main_pid(API), self.site.workers()
        # One that has answered; a worker that never has is given time to open its models.
        self._wait_for_a_feed()
        began = time.monotonic()
        self.machine.run("kill", "-STOP", str(workers[0]))

        def replaced() -> bool:
            now = self.site.workers()
            return len(now) == len(workers) and workers[0] not in now

        wait_until(replaced, 180, "another worker in the place of the frozen one")
        assert self.machine.main_pid(API) == main
        assert "its process is stopped" in self.site.log_of(API)
        return f"replaced after {time.monotonic() - began:.0f} s, nothing restarted"

    def reboot(self) -> str:
        version = self.site.wait_until_served()
        began = time.monotonic()
        self.machine.reboot()
        assert self.site.wait_until_served() == version
        for unit in (API, RETRAIN):
            wait_until(partial(self.machine.is_active, unit), 60, unit)
        return f"{version} answers {time.monotonic() - began:.1f} s after the command"

    # -- once --------------------------------------------------------------------------------------

    def timer(self) -> str:
        former = self.site.wait_until_served()
        self.machine.run("systemctl", "disable", "--now", RETRAIN)
        drop_in = self.machine.root / "etc/systemd/system/hotfit-once@.timer.d"
        drop_in.mkdir()
        soon = "[Timer]\nOnCalendar=\nOnActiveSec=2s\nRandomizedDelaySec=0\nAccuracySec=100ms\n"
        (drop_in / "soon.conf").write_text(soon)
        self.site.demo_data("add", "12")
        self.machine.run("systemctl", "daemon-reload")
        began = time.monotonic()
        self.machine.run("systemctl", "enable", "--now", "hotfit-once@spare_parts.timer")
        version = self.site.wait_until_served(other_than=former)
        unit = "hotfit-once@spare_parts.service"

        def is_over() -> bool:
            return self.machine.property(unit, "ActiveState") in ("inactive", "failed")

        wait_until(is_over, 60, unit)
        assert self.machine.property(unit, "Result") == "success", self.site.log_of(unit)
        took_s = time.monotonic() - began
        self.machine.run("systemctl", "disable", "--now", "hotfit-once@spare_parts.timer")
        return f"{former} -> {version} in {took_s:.1f} s"

    def cron(self) -> str:
        former = self.site.wait_until_served()
        self.site.demo_data("add", "12")
        text = (self.machine.root / self.second[1:] / "scripts/services/hotfit.cron").read_text()
        settings = [line for line in text.splitlines() if re.match(r"[A-Z_]+=", line)]
        entry = next(line for line in text.splitlines() if re.match(r"[0-9]", line))
        *_, user, command = entry.replace("MODEL", "spare_parts").split(maxsplit=6)
        as_cron = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "env")
        began = time.monotonic()
        self.machine.run(*as_cron, *settings, "/bin/sh", "-c", command)
        version = self.site.wait_until_served(other_than=former)
        took_s = time.monotonic() - began
        self.machine.run("systemctl", "enable", "--now", RETRAIN)
        return f"{former} -> {version} in {took_s:.1f} s"

    def journal(self) -> str:
        lines = [
            line
            for unit in (API, RETRAIN)
            for line in self.site.log_of(unit).splitlines()
            if line.startswith("{")
        ]
        assert lines
        assert all('"event"' in line and '"level"' in line for line in lines)
        assert not (self.machine.root / "var/lib/hotfit/logs/api_service.log").exists()
        return f"{len(lines)} lines"

    # -- the end -----------------------------------------------------------------------------------

    def keep_data(self) -> str:
        version = self.site.wait_until_served()
        self.site.script(self.second, "uninstall.sh", "--keep-data")
        assert self.site.ask("/livez")[0] == 0
        assert (self.machine.root / "var/lib/hotfit/models").is_dir()
        self.site.script(self.second, "install.sh")
        assert self.site.wait_until_served() == version
        return f"{version} answers"

    def uninstall(self) -> str:
        self.site.script(self.second, "uninstall.sh")
        left = files_below(self.machine.root, WATCHED) - self.files
        left = {path for path in left if not _OF_THE_SYSTEM.match(path)}
        assert not left, sorted(left)[:20]
        assert self._accounts() == self.accounts
        units = self.machine.run("systemctl", "list-units", "--all", "--no-legend", "hotfit*")
        files = self.machine.run(
            "systemctl", "list-unit-files", "--no-legend", "hotfit*", expect=(0, 1)
        )
        assert units.strip() == files.strip() == ""
        processes = self.machine.run("ps", "-eo", "args=")
        assert "hotfit" not in processes.replace(self.machine.name, ""), processes
        return "no file, unit, user, group or process"

    # -- how it is looked at -----------------------------------------------------------------------

    def _pids(self) -> str:
        pids = [self.machine.main_pid(unit) for unit in (API, RETRAIN)]
        return ",".join(str(pid) for pid in [*pids, *self.site.workers()])

    def _accounts(self) -> list[str]:
        return [(self.machine.root / name).read_text() for name in _ACCOUNTS]

    def _wait_for_a_feed(self) -> None:
        def fed() -> int:
            return int(self.machine.property(API, "WatchdogTimestampMonotonic") or 0)

        first = fed()
        wait_until(lambda: fed() > first, 60, "the watchdog to be fed", every_s=0.5)
