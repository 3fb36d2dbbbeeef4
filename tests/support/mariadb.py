"""A MariaDB server of our own for a test session: fresh system tables on a loopback port."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from scripts.daemons.network import free_port
from tests.support.waiting import wait_until

DATABASE = "shop"
_SYSTEM_TABLES = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
# One statement a line: the bootstrap ends a statement at the end of a line only.
_OUR_USER = f"""
FLUSH PRIVILEGES;
CREATE USER app@'127.0.0.1' IDENTIFIED BY 'secret';
GRANT ALL ON *.* TO app@'127.0.0.1' WITH GRANT OPTION;
CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4;
"""


def find_binary() -> Path | None:
    """The server's program; Debian keeps it out of the PATH of others than root."""
    found = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
    return Path(found) if found and _shared_files() is not None else None


def _shared_files() -> Path | None:
    for folder in (Path("/usr/share/mysql"), Path("/usr/share/mariadb")):
        if (folder / _SYSTEM_TABLES[0]).exists():
            return folder
    return None


class MariadbServer:
    """start() and stop() may alternate; the data stays. The server refuses to run as root."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._command: list[str | Path] = [
            binary,
            *("--no-defaults", f"--datadir={folder / 'data'}", f"--socket={folder / 'socket'}"),
            *("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M", "--skip-log-bin"),
            *(
                "--innodb-flush-log-at-trx-commit=2",
                "--innodb-doublewrite=0",
            ),  # 2: a kill loses nothing
            *((f"--user={_OTHER_USER}",) if _is_root() else ()),
        ]

    def url(self, user: str = "app", password: str = "secret", database: str = DATABASE) -> str:
        return f"mysql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> None:
        (self._folder / "data").mkdir()
        if _is_root():
            for path in (self._folder, self._folder / "data"):
                shutil.chown(path, _OTHER_USER)
        folder = _shared_files()
        assert folder is not None
        system_tables = "".join((folder / name).read_text() for name in _SYSTEM_TABLES)
        statements = f"CREATE DATABASE mysql;\nUSE mysql;\n{system_tables}{_OUR_USER}"
        done = subprocess.run(
            [*self._command, "--bootstrap"],
            input=statements.encode(),
            capture_output=True,
            cwd=self._folder,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *self._command,
                *("--bind-address=127.0.0.1", f"--port={self.port}", "--skip-name-resolve"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
        )
        wait_until(self._accepts, 30, "MariaDB to accept connections")

    def stop(self) -> None:
        if self._process is not None:
            # Killed like a server whose machine goes down: quicker, and its log recovers the rest.
            self._process.kill()
            self._process.wait(timeout=30)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Its process stands still: connections stay, and nothing answers."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        server.suspend()
        try:
            yield
        finally:
            server.resume()

    def _accepts(self) -> bool:
        import pymysql

        try:
            pymysql.connect(
                host="127.0.0.1", port=self.port, user="app", password="secret", connect_timeout=2
            ).close()
        except pymysql.err.OperationalError:
            return False
        return True


@contextmanager
def running_mariadb(binary: Path) -> Iterator[MariadbServer]:
    folder = Path(tempfile.mkdtemp(prefix="hotfit-my-"))
    server = MariadbServer(binary, folder)
    try:
        server.create_database()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


_OTHER_USER = "nobody"


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
