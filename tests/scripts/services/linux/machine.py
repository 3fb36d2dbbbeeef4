"""A machine of its own for the services: this system's files under an overlay, booted by nspawn.

It has a systemd, users, a journal and a loopback network that are nobody else's; what it writes
goes to a folder that is removed with it. Knows nothing of Hotfit. Needs root, Linux and Debian's
`systemd-container`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from tests.scripts.services.show import Refused
from tests.support.waiting import wait_until

BOOT_TIMEOUT_S = 90.0
_ASKED_FOR_A_REBOOT = 133


class Machine:
    """One machine. `root` is its file system, seen from outside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._upper, self._work = folder / "upper", folder / "work"
        self.root = folder / "root"
        self.name = folder.name
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._binds: Mapping[Path, str] = {}

    # -- life --------------------------------------------------------------------------------------

    def lay_out(self) -> None:
        """Mount the overlay; what the host starts at boot is not started here."""
        for path in (self._folder, self._upper, self._work, self.root):
            path.mkdir()
        layers = f"lowerdir=/,upperdir={self._upper},workdir={self._work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root], check=True)
        for wants in ("multi-user.target.wants", "timers.target.wants", "sysinit.target.wants"):
            shutil.rmtree(self.root / "etc/systemd/system" / wants, ignore_errors=True)
        (self.root / "etc/machine-id").write_text("")
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        # Kept over a reboot, so that it can be asked for at the end.
        (self.root / "var/log/journal").mkdir(parents=True, exist_ok=True)

    def boot(self, binds: Mapping[Path, str]) -> None:
        """Boot systemd; `binds`: folder outside -> where it is seen inside, read-only."""
        self._binds = binds
        with (self._folder / "console.log").open("ab") as console:
            self._nspawn = subprocess.Popen(
                [
                    "systemd-nspawn",
                    "--quiet",
                    "--boot",
                    f"--directory={self.root}",
                    f"--machine={self.name}",
                    "--register=no",
                    "--keep-unit",
                    "--private-network",
                    "--console=pipe",
                    "--resolv-conf=off",
                    "--timezone=off",
                    *(f"--bind-ro={outside}:{inside}" for outside, inside in binds.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Return when everything that starts at boot has been started."""
        wait_until(self._is_up, BOOT_TIMEOUT_S, f"systemd to be up; {self._folder}/console.log")

    def reboot(self) -> None:
        """Reboot as a person would, and return when it is up again."""
        assert self._nspawn is not None
        self.run("systemctl", "--no-block", "reboot", expect=range(256))
        code = self._nspawn.wait(BOOT_TIMEOUT_S)
        if code != _ASKED_FOR_A_REBOOT:
            raise Refused(
                f"reboot: expected nspawn to end with {_ASKED_FOR_A_REBOOT}, found {code}."
            )
        self.boot(self._binds)

    def remove(self) -> None:
        """End everything inside and remove every file of it."""
        if self._nspawn is not None:
            leader = self._leader()
            if self._nspawn.poll() is None:
                if leader is not None:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        leader.kill()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._nspawn.wait(20)
            if self._nspawn.poll() is None:
                self._nspawn.kill()
                self._nspawn.wait()
        subprocess.run(["umount", "--recursive", self.root], check=False)
        if not os.path.ismount(self.root):
            shutil.rmtree(self._folder)

    # -- what happens inside -----------------------------------------------------------------------

    def run(self, *command: str, expect: int | Sequence[int] = 0, timeout_s: float = 900) -> str:
        """Run a command inside as root and return what it wrote to standard output.

        Raises:
            Refused: another exit code than `expect`.
        """
        done = subprocess.run(
            self.inside(*command),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
        expected = (expect,) if isinstance(expect, int) else expect
        if done.returncode not in expected:
            raise Refused(
                f"{' '.join(command)}: expected exit code {expect}, found {done.returncode}:\n"
                f"{done.stdout[-2000:]}{done.stderr[-4000:]}"
            )
        return done.stdout

    def inside(self, *command: str) -> list[str]:
        """The command line that runs a command inside."""
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        return [*self._enter("--all", "--root", "--wd"), *clean, "HOME=/", "LANG=C.UTF-8", *command]

    def on_its_network(self, *command: str) -> list[str]:
        """The command line that runs a command of ours on its network: a client next door."""
        return [*self._enter("--net"), *command]

    def property(self, unit: str, name: str) -> str:
        """A property of a unit as `systemctl show` gives it."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def main_pid(self, unit: str) -> int:
        """The main process of a service, as numbered inside; 0 when there is none."""
        return int(self.property(unit, "MainPID"))

    def is_active(self, unit: str) -> bool:
        return self.property(unit, "ActiveState") == "active"

    def _enter(self, *namespaces: str) -> list[str]:
        leader = self._leader()
        if leader is None:
            raise Refused("the machine is not up.")
        return ["nsenter", f"--target={leader.pid}", *namespaces, "--"]

    def _leader(self) -> psutil.Process | None:
        """Its first process; after a reboot another one."""
        assert self._nspawn is not None
        try:
            children = psutil.Process(self._nspawn.pid).children()
            found = [each for each in children if each.name() == "systemd"]
        except psutil.NoSuchProcess:
            return None
        return found[0] if found else None

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            console = (self._folder / "console.log").read_text(errors="replace")
            raise AssertionError(f"systemd-nspawn ended: {console[-2000:]}")
        try:
            state = self.run("systemctl", "is-system-running", expect=range(256)).strip()
        except (Refused, OSError):
            return False
        return state in ("running", "degraded")


@contextlib.contextmanager
def machine(parent: Path) -> Iterator[Machine]:
    """A machine that is laid out and not booted; gone at the end, whatever happened."""
    found = Machine(parent / f"hotfit-machine-{secrets.token_hex(4)}")
    try:
        found.lay_out()
        yield found
    finally:
        found.remove()
