"""A worker's turn to compute is for models: no route waits for the disk while it has it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client

from api_service.app import LOCKED_VIEWS, create_app
from api_service.context import Context
from api_service.web.yield_lock import hold_lock, yield_lock
from shared.keys.api_keys import Role
from shared.run_log.run import RunStatus
from shared.run_log.writer import RunLog
from tests.api_service.conftest import NOW, Serving
from tests.api_service.routes.test_aliases import key, log, serving_of
from tests.api_service.routes.test_models import run
from tests.support.counted_lock import CountedLock, LockedApplication
from tests.support.versions import ServingHome

_watches: list[DiskWatch] = []


class DiskWatch:
    """What is opened below a directory while a lock is taken. Python tells it of every open."""

    def __init__(self, directory: str, lock: CountedLock) -> None:
        self._directory, self._lock = directory, lock
        self.seen: list[str] = []

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir", "sqlite3.connect") and arguments:
            path = str(arguments[0])
            if self._directory in path and self._lock.is_taken():
                self.seen.append(f"{event} {Path(path).name}")


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for watch in _watches:
        watch.note(event, arguments)


sys.addaudithook(_hook)


@contextmanager
def watching(directory: str, lock: CountedLock) -> Iterator[DiskWatch]:
    watch = DiskWatch(directory, lock)
    _watches.append(watch)
    try:
        yield watch
    finally:
        _watches.remove(watch)


@pytest.fixture
def five(home: ServingHome) -> Serving:
    serving = serving_of(home)
    log(serving, "servers", run("r1", 1, RunStatus.SUCCEEDED))
    RunLog.open(serving.config.run_log_path).close()
    return serving


def app_of(serving: Serving) -> Flask:
    return create_app(
        Context(serving.config, serving.table, serving.home.store, serving.ring, lambda: NOW)
    )


def test_no_route_opens_a_file_while_it_holds_the_turn(five: Serving) -> None:
    """Else a long export, or a slow disk, keeps every prediction of the worker waiting."""
    app = app_of(five)
    locked = LockedApplication(app.wsgi_app)
    client = Client(locked)
    headers = {**key(five, Role.ADMIN), "Accept": "text/html"}
    models = five.table.names()
    found: dict[str, list[str]] = {}
    n_asked = 0

    for rule in app.url_map.iter_rules():
        if rule.endpoint in LOCKED_VIEWS or "entity>" in rule.rule:
            continue
        for method in sorted((rule.methods or set()) & {"GET", "POST", "DELETE"}):
            for model in models if "<model>" in rule.rule else models[:1]:
                path = re.sub(r"<(?:\w+:)?model>", model, rule.rule)
                path = re.sub(r"<(?:\w+:)?run_id>", "r1", path)
                path = re.sub(r"<[^>]+>", "x", path)
                with watching(str(five.home.path), locked.lock) as watch:
                    client.open(path, method=method, headers=headers, data=b"{}")
                n_asked += 1
                if watch.seen:
                    found[f"{method} {path}"] = watch.seen

    assert n_asked > 100
    assert found == {}


def test_a_model_is_asked_in_turn_and_a_body_is_read_without_it() -> None:
    """Nested as the routes do it: outside, computing inside, waiting inside of that."""
    states: list[bool] = []
    locked: LockedApplication

    def application(environ: Any, _start: Any) -> list[bytes]:
        lock = locked.lock
        states.append(lock.is_taken())
        with yield_lock(environ):
            states.append(lock.is_taken())
            assert environ["wsgi.input"].read() == b"body"
            states.append(lock.is_taken())
            with yield_lock(environ), hold_lock(environ):
                states.append(lock.is_taken())
                with yield_lock(environ):
                    states.append(lock.is_taken())
                states.append(lock.is_taken())
            states.append(lock.is_taken())
        states.append(lock.is_taken())
        return [b""]

    locked = LockedApplication(application)
    locked({"wsgi.input": BytesIO(b"body"), "CONTENT_LENGTH": "4"}, lambda *_: lambda _: None)

    assert states == [True, False, False, True, False, True, False, True]
    assert not locked.lock.is_taken()


def test_every_view_that_keeps_the_turn_exists(five: Serving) -> None:
    """A renamed view would silently lose it."""
    assert set(app_of(five).view_functions) >= LOCKED_VIEWS
