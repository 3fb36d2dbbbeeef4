"""Guesses at the sign-in: one exact limit for all workers, and no way to lock a person out."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api_service.console.login_limit import (
    LIMIT_IN_ALL,
    LIMIT_PER_ADDRESS,
    WINDOW,
    LoginLimit,
    TooManyAttempts,
)
from shared.errors import StorageUnavailable

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HERE = "192.0.2.7"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "console" / "sign-in.json"


def is_let_through(attempts: LoginLimit, address: str = HERE, at: datetime = NOW) -> bool:
    try:
        attempts.count(address, at)
    except TooManyAttempts:
        return False
    return True


def test_workers_count_together_even_when_they_are_asked_at_once(path: Path) -> None:
    """Eight workers must not mean eight times as many guesses."""
    workers = [LoginLimit(path) for _ in range(8)]

    with ThreadPoolExecutor(8) as at_once:
        found = list(at_once.map(is_let_through, workers * 5))

    assert sum(found) == LIMIT_PER_ADDRESS


def test_many_addresses_together_have_a_limit_too(path: Path) -> None:
    """Who guesses has many addresses; who signs in waits a minute at most."""
    one, other = LoginLimit(path), LoginLimit(path)
    found = [is_let_through((one, other)[i % 2], f"198.51.100.{i}") for i in range(40)]

    assert sum(found) == LIMIT_IN_ALL
    assert is_let_through(other, at=NOW + WINDOW)


def test_a_right_key_is_no_guess(path: Path) -> None:
    """A script that signs in often, or ten people behind one address."""
    one, other = LoginLimit(path), LoginLimit(path)
    for i in range(3 * LIMIT_PER_ADDRESS):
        at = NOW + timedelta(milliseconds=i)
        one.count(HERE, at)
        other.remove_valid(HERE, at)

    assert is_let_through(other)


def test_guesses_are_kept_when_a_worker_is_replaced(path: Path) -> None:
    """Making a worker fail must not give new guesses."""
    for _ in range(LIMIT_PER_ADDRESS):
        LoginLimit(path).count(HERE, NOW)

    with pytest.raises(TooManyAttempts) as refused:
        LoginLimit(path).count(HERE, NOW + timedelta(seconds=20))
    assert refused.value.retry_after_s == 40


@pytest.mark.parametrize("content", [b"", b"{}", b'[["x", 1]]', b"\xff"])
def test_a_file_that_is_something_else_is_replaced(path: Path, content: bytes) -> None:
    """A person must get in whatever lies there."""
    path.parent.mkdir()
    path.write_bytes(content)
    attempts = LoginLimit(path)

    assert [is_let_through(attempts) for _ in range(LIMIT_PER_ADDRESS + 1)][-2:] == [True, False]


def test_where_nothing_can_be_written_a_worker_counts_on_its_own(tmp_path: Path) -> None:
    """A full disk neither opens the door nor locks it."""
    (tmp_path / "console").write_text("a file where a folder should be")
    attempts = LoginLimit(tmp_path / "console" / "sign-in.json")

    assert sum(is_let_through(attempts) for _ in range(20)) == LIMIT_PER_ADDRESS
    assert is_let_through(attempts, at=NOW + WINDOW)


def test_a_disk_that_is_full_forgets_no_guess(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file can be read and not written: what it says is older than what the worker knows."""
    attempts = LoginLimit(path)
    attempts.count(HERE, NOW)

    def full(*_: object, **__: object) -> None:
        raise StorageUnavailable("no space left on device")

    monkeypatch.setattr("api_service.console.login_limit.write_atomic", full)

    assert sum(is_let_through(attempts) for _ in range(20)) == LIMIT_PER_ADDRESS - 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_who_guesses_is_nobody_elses_business(path: Path) -> None:
    """Addresses are about people."""
    LoginLimit(path).count(HERE, NOW)

    assert path.stat().st_mode & 0o077 == 0
