"""What docs/windows.md claims, each shown by doing it. Returns what was seen, or asserts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.scripts.services.show import Refused
from tests.scripts.services.windows.site import ENVIRONMENT, PROJECT, Site
from tests.support.waiting import wait_until

SERVICES = ("hotfit-retrain", "hotfit-api")
NSSM = ENVIRONMENT / "Scripts/nssm.exe"
_KEY = 'reg query "HKLM\\System\\CurrentControlSet\\Services\\{}"'


def in_words(load: dict[str, Any]) -> str:
    return (
        f"{load['answered']} requests answered, {len(load['failures'])} failed,"
        f" longest {load['longest_ms']} ms"
    )


class Life:
    """One installation from its first start to its end; the claims hold in this order only."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.machine = site.machine

    def claims(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("start.bat installs the packages, starts both, trains and serves", self.start),
            ("start.bat again says that both run", self.start_again),
            ("status.bat shows both", self.status),
            ("one worker, which says so", self.one_worker),
            ("a file that a reader has open is replaced", lambda: self.site.probe("probe_replace")),
            ("a signal is noticed by Windows' events", lambda: self.site.probe("probe_watch")),
            ("new data, a new version, no request lost", self.swap),
            ("a killed worker is replaced", self.kill_worker),
            ("stop.bat stops gracefully, under load", self.stop),
            ("install.bat --dry-run changes nothing", self.dry_run),
            ("install.bat brings NSSM and both services", self.install),
            ("the services' settings", self.service_settings),
            ("a killed service comes back", self.kill_service),
            ("a log is rotated while the service runs", self.rotate),
            ("install.bat again", self.install_again),
            ("after a reboot both are there", self.reboot),
            ("uninstall.bat --keep-data stops gracefully and keeps", self.uninstall_keeping),
            ("uninstall.bat leaves nothing", self.uninstall),
        ]

    # -- the scripts -------------------------------------------------------------------------------

    def start(self) -> str:
        told = self.site.script("start.bat --wait 400", timeout_s=900)
        assert "Hotfit is ok" in told, told
        line = next(each for each in told.splitlines() if "Hotfit is ok" in each)
        return f"{line.strip()}; serves {self.site.wait_until_served()}"

    def start_again(self) -> str:
        return self.site.script("start.bat", expect=3).splitlines()[0]

    def status(self) -> str:
        told = self.site.script("status.bat")
        rows = [each for each in told.splitlines() if " running " in each]
        assert len(rows) == 2, told
        assert "Health: ok" in told, told
        return " | ".join(" ".join(row.split()[:3]) for row in rows)

    def one_worker(self) -> str:
        warned = [each for each in self.site.log_of("api_service") if "one worker" in each["event"]]
        assert warned
        assert len(self.site.worker_pids()) == 1
        return str(warned[-1]["event"])

    def swap(self) -> str:
        former = self.site.wait_until_served()
        with self.site.under_load() as load:
            self.site.add_appointments()
            now = self.site.wait_until_served(other_than=former)
            time.sleep(2)
        assert not load["failures"], load
        assert load["versions"] == sorted([former, now]), load
        return f"{former} -> {now}; {in_words(load)}"

    def kill_worker(self) -> str:
        former = self.site.worker_pids()
        began = time.monotonic()
        self.site.kill(former[0])

        def is_replaced() -> bool:
            return bool(self.site.served_version()) and self.site.worker_pids() not in (former, [])

        wait_until(is_replaced, 120, "another worker to serve", every_s=0.25)
        return f"another serves after {time.monotonic() - began:.1f} s"

    def stop(self) -> str:
        with self.site.under_load() as load, self.site.half_a_request() as half:
            time.sleep(1)
            told = self.site.script("stop.bat")
        assert "killed" not in told, told
        assert told.count("stopped") == 2, told
        self._has_ended_well(load, half)
        return f"{' | '.join(told.strip().splitlines())}; {self._at_its_end(load)}"

    # -- the services ------------------------------------------------------------------------------

    def dry_run(self) -> str:
        self.site.configure()
        told = self.site.script(r"services\install.bat --dry-run")
        assert all(not self._is_known(each) for each in SERVICES)
        return f"{told.count('would run')} steps shown"

    def install(self) -> str:
        self.site.configure()
        self.site.script(r"services\install.bat", timeout_s=600)
        assert self.machine.outside(NSSM).exists()
        version = self.site.wait_until_served()
        self._both_run()
        return f"both SERVICE_RUNNING, serves {version}"

    def service_settings(self) -> str:
        wanted = {
            "AppRotateFiles": "1",
            "AppRotateBytes": "10000000",
            "Start": "SERVICE_AUTO_START",
            "AppExit Default": "Restart",
            "AppExit 2": "Exit",
        }
        for service in SERVICES:
            found = {each: self._setting(service, each) for each in wanted}
            assert found == wanted, found
            # Without quotes Windows would try C:\Program.exe first.
            assert f'"{NSSM}"' in self.machine.run(_KEY.format(service) + " /v ImagePath")
        return ", ".join(f"{name} {value}" for name, value in wanted.items())

    def kill_service(self) -> str:
        seen = []
        for daemon in ("api_service", "retrain_service"):
            former = self.site.main_pid(daemon)
            began = time.monotonic()
            self.site.kill(former)

            def is_back(daemon: str = daemon, former: int = former) -> bool:
                return self.site.main_pid(daemon) not in (0, former)

            wait_until(is_back, 120, f"{daemon} to come back", every_s=0.25)
            self.site.wait_until_served()
            seen.append(f"{daemon} after {time.monotonic() - began:.1f} s")
        return ", ".join(seen)

    def rotate(self) -> str:
        folder = self.machine.outside(PROJECT / "var/logs")
        log = folder / "api_service.log"
        former = set(folder.glob("api_service-*.log"))
        self.machine.run(f'"{NSSM}" rotate hotfit-api', expect=range(256))
        # The next line that is written is what moves the old ones aside.
        self.site.kill(self.site.worker_pids()[0])

        def is_moved_aside() -> list[str]:
            return sorted(each.name for each in set(folder.glob("api_service-*.log")) - former)

        kept = wait_until(is_moved_aside, 60, "an old log beside the new one", every_s=0.5)
        self.site.wait_until_served()
        assert log.exists()
        return f"{', '.join(kept)} beside {log.name}"

    def install_again(self) -> str:
        self.site.script(r"services\install.bat", timeout_s=600)
        version = self.site.wait_until_served()
        self._both_run()
        return f"serves {version}"

    def reboot(self) -> str:
        self.machine.shut_down()
        assert self.site.served_version() is None
        began = time.monotonic()
        self.machine.boot()
        version = self.site.wait_until_served()
        return f"serves {version} {time.monotonic() - began:.0f} s after the start"

    def uninstall_keeping(self) -> str:
        with self.site.under_load() as load, self.site.half_a_request() as half:
            time.sleep(1)
            self.site.script(r"services\uninstall.bat --keep-data")
        assert not any(self._is_known(each) for each in SERVICES)
        assert list(self.machine.outside(PROJECT / "var/models").iterdir())
        self._has_ended_well(load, half)
        return f"services gone, models kept; {self._at_its_end(load)}"

    def uninstall(self) -> str:
        self.site.script(r"services\install.bat", timeout_s=600)
        self.site.wait_until_served()
        self.site.script(r"services\uninstall.bat")
        self.site.script(r"services\uninstall.bat")
        assert not any(self._is_known(each) for each in SERVICES)
        left = sorted(path.name for path in self.machine.outside(PROJECT / "var").iterdir())
        assert all(name.startswith("demo.db") for name in left), left
        told = self.machine.run("tasklist", expect=range(256)).lower()
        n_pythons = told.count("python.exe")
        assert n_pythons <= 1, told  # that runs the prompt
        assert "nssm" not in told, told
        return f"no service, no process; in the data folder only what is not ours: {left}"

    # -- looking -----------------------------------------------------------------------------------

    def _has_ended_well(self, load: dict[str, Any], half: dict[str, str]) -> None:
        """By itself, and what it had begun to read was answered."""
        said = [each["event"] for each in self.site.log_of("api_service")]
        assert said[-1] == "stopped", said[-5:]
        assert not any("did not end in time" in each for each in said), said[-5:]
        assert half["answer"].startswith("HTTP/1.1 200"), half
        assert self.site.main_pid("api_service") == self.site.main_pid("retrain_service") == 0
        cut_off = [each for each in load["failures"] if "refused" not in each.lower()]
        # Each of the four clients may wait for its connection to be taken.
        assert len(cut_off) <= 4, cut_off[:5]

    @staticmethod
    def _at_its_end(load: dict[str, Any]) -> str:
        refused = [each for each in load["failures"] if "refused" in each.lower()]
        n_cut_off = len(load["failures"]) - len(refused)
        return f"{load['answered']} requests and the half one answered, {n_cut_off} not taken"

    def _both_run(self) -> None:
        for service in SERVICES:

            def is_running(name: str = service) -> bool:
                return self._state(name) == "SERVICE_RUNNING"

            wait_until(is_running, 60, f"{service} to run", every_s=0.5)

    def _is_known(self, service: str) -> bool:
        try:
            self.machine.run(_KEY.format(service))
        except Refused:
            return False
        return True

    def _state(self, service: str) -> str:
        return _plain(self.machine.run(f'"{NSSM}" status {service}', expect=range(256)))

    def _setting(self, service: str, name: str) -> str:
        return _plain(self.machine.run(f'"{NSSM}" get {service} {name}', expect=range(256)))


def _plain(told: str) -> str:
    """NSSM writes two bytes a letter."""
    return told.replace("\0", "").strip()
