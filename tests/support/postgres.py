"""A PostgreSQL server of our own for a test session: a fresh cluster on a loopback port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.waiting import wait_until

SUPERUSER = "app"


def find_binaries() -> Path | None:
    """The folder of initdb and postgres; Debian keeps it out of the PATH."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


class PostgresServer:
    """start() and stop() may alternate; the data stays. The server refuses to run as root."""

    def __init__(self, binaries: Path, folder: Path, port: int) -> None:
        self._binaries, self._folder, self.port = binaries, folder, port
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", password: str = "secret") -> str:
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.port}/{database}"

    def create_cluster(self) -> None:
        password_file = self._folder / "password"
        password_file.write_text("secret")
        if (user := _other_user()) is not None:
            shutil.chown(self._folder, user)
            shutil.chown(password_file, user)
        subprocess.run(
            [
                self._binaries / "initdb",
                *("--pgdata", self._folder / "data", "--username", SUPERUSER, "--no-sync"),
                *("--auth", "scram-sha-256", "--pwfile", password_file),
                *("--encoding", "UTF8", "--locale", "C"),
            ],
            check=True,
            capture_output=True,
            user=user,
            cwd=self._folder,
        )

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                self._binaries / "postgres",
                *("-D", self._folder / "data", "-p", str(self.port), "-k", self._folder),
                *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"),
                *("-c", "wal_level=logical", "-c", "max_replication_slots=10"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=_other_user(),
            cwd=self._folder,
        )
        wait_until(self._accepts, 30, "PostgreSQL to accept connections")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(2)  # fast shutdown: open sessions are ended
            self._process.wait(timeout=30)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Every process of it stands still: connections stay, and nothing answers."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        held = [server, *server.children(recursive=True)]
        for process in held:
            process.suspend()
        try:
            yield
        finally:
            for process in held:
                process.resume()

    def _accepts(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running_postgres(binaries: Path) -> Iterator[PostgresServer]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="hotfit-pg-"))
    server = PostgresServer(binaries, folder, port)
    try:
        server.create_cluster()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _other_user() -> str | None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
