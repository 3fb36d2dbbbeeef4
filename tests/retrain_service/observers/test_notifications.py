"""People are told, through real servers on loopback, and the loop never waits for it."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from retrain_service.observers.notifications import KIND_OF_EVENT, Notifier
from shared.errors import SettingsInvalid
from shared.run_log.reader import Event
from shared.settings.sections import NotifySettings
from tests.support.commands import command
from tests.support.daemons import MeanHome, daemon
from tests.support.receiver import receiver
from tests.support.waiting import wait_until

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


def event(
    kind: str = "failed", sentence: str = "v000007: out of memory.", at: datetime = NOW
) -> Event:
    return Event(1, at, "parts", kind, sentence, "run1", {})


@contextmanager
def notifier(*urls: str, **options: Any) -> Iterator[Notifier]:
    settings = NotifySettings(urls=list(urls), **options.pop("settings", {}))
    made = Notifier(settings, **{"pauses_s": (0.05, 0.05), **options})
    try:
        yield made
    finally:
        made.close()


def test_a_failure_reaches_a_web_hook() -> None:
    """The one who is paged must see the model, the reason and where to look further."""
    with receiver() as hook, notifier(f"json://127.0.0.1:{hook.port}/alerts") as telling:
        telling.send(event())
        wait_until(lambda: hook.posts, 20, "a message")

    _, path, body = hook.posts[0]
    assert path.startswith("/alerts")
    assert body["title"] == "Hotfit: parts: a run failed"
    assert "v000007: out of memory." in body["message"]
    assert "python -m retrain_service show run1" in body["message"]


def test_messages_are_counted_by_what_became_of_them() -> None:
    """Who watches the metrics sees that people are not told."""
    with receiver() as hook, notifier(f"json://127.0.0.1:{hook.port}/alerts") as telling:
        telling.send(event())
        wait_until(lambda: telling.counts["sent"] == 1, 20, "a message")
    nobody = f"json://127.0.0.1:{hook.port}/alerts"  # nobody listens there any more
    with notifier(nobody) as telling:
        telling.send(event())
        wait_until(lambda: telling.counts["failed"] == 1, 20, "the end of the tries")

    assert telling.counts == {"sent": 0, "failed": 1, "dropped": 0}


class Mailbox:
    """aiosmtpd's handler that keeps what is delivered."""

    def __init__(self) -> None:
        self.mails: list[Message] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"


def test_a_rejection_reaches_a_mailbox() -> None:
    """Mail is what everybody has."""
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    address = f"mailto://127.0.0.1:{port}/?mode=insecure&from=hotfit@example.com&to=me@example.com"
    try:
        with notifier(address) as telling:
            telling.send(event("reject", "v000008: 12 % worse; not promoted."))
            wait_until(lambda: box.mails, 20, "a mail")
    finally:
        server.stop()

    mail = box.mails[0]
    assert mail["Subject"] == "Hotfit: parts: a new version was not promoted"
    assert mail["To"] == "me@example.com"
    parts = [part.get_payload(decode=True) for part in mail.walk() if not part.is_multipart()]
    assert any("12 % worse; not promoted" in str(part) for part in parts)


def test_an_address_that_fails_is_tried_again_and_the_others_are_not_told_twice() -> None:
    """A receiver that restarts must not cost a message, and nobody wants it three times."""
    answers = iter([500, 500, 200])
    with (
        receiver(lambda *_: (next(answers), {})) as shaky,
        receiver() as steady,
        notifier(f"json://127.0.0.1:{shaky.port}", f"json://127.0.0.1:{steady.port}") as telling,
    ):
        telling.send(event())
        wait_until(lambda: len(shaky.posts) == 3, 20, "the third try")

    assert len(steady.posts) == 1


def test_the_same_again_is_held_back_and_counted() -> None:
    """A source that flaps all night is one message and a number, not four hundred."""
    with receiver() as hook, notifier(f"json://127.0.0.1:{hook.port}") as telling:
        for minute in range(0, 61, 10):
            telling.send(
                event(sentence=f"v{minute:06d}: boom.", at=NOW + timedelta(minutes=minute))
            )
        telling.send(event("rollback", "v000001 is wanted now.", at=NOW))
        wait_until(lambda: len(hook.posts) == 3, 20, "three messages")

    first, again, other = (body["message"] for body in hook.bodies)
    assert "v000000" in first
    assert "more like it" not in first
    assert "v000060" in again
    assert "5 more like it came since the last message" in again
    assert "v000001" in other


def test_only_the_kinds_that_are_set_are_told() -> None:
    """Promotions are the normal case; who wants to hear of them says so."""
    only = {"kinds": ("promotion",)}
    with receiver() as hook, notifier(f"json://127.0.0.1:{hook.port}", settings=only) as telling:
        for kind in KIND_OF_EVENT:
            telling.send(event(kind, f"about {kind}"))
        telling.send(event("decision", "never told"))
        telling.close()

    assert [body["title"] for body in hook.bodies] == ["Hotfit: parts: a new version is served"]


def test_a_receiver_that_hangs_never_holds_up_the_loop_and_drops_are_said() -> None:
    """Training goes on whatever becomes of the messages."""
    is_slow = [True]

    def slow(*_: object) -> tuple[int, Any]:
        wait_until(lambda: not is_slow[0], 30, "the end of the hang")
        return 200, {}

    with (
        receiver(slow) as hanging,
        notifier(f"json://127.0.0.1:{hanging.port}", queue_length=2) as telling,
    ):
        telling.send(event(sentence="first"))
        wait_until(lambda: hanging.posts, 20, "the first message on its way")
        started = time.monotonic()
        for letter in "abcdef":
            telling.send(event(sentence=letter))
        assert time.monotonic() - started < 1.0
        is_slow[0] = False
        wait_until(lambda: len(hanging.posts) >= 3, 20, "those that fitted")

    assert "4 other messages were dropped" in hanging.bodies[1]["message"]


@pytest.mark.parametrize("url", ["nonsense://x", "no address at all"])
def test_an_address_that_nobody_knows_is_a_configuration_error_without_its_secrets(
    url: str,
) -> None:
    """Found at the start, not at the first failure in the night."""
    with pytest.raises(SettingsInvalid, match=r"notify\.urls\[0\]") as raised:
        Notifier(NotifySettings(urls=[url]))

    assert "no address at all" not in str(raised.value)


def test_without_the_package_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra: most installations do not need it."""
    monkeypatch.setitem(sys.modules, "apprise", None)

    Notifier(NotifySettings()).close()
    with pytest.raises(SettingsInvalid, match='install the extra "notify"'):
        Notifier(NotifySettings(urls=["json://127.0.0.1"]))


def test_the_daemon_tells_of_failures_and_outages(tmp_path: Path) -> None:
    """From the event in the log to the receiver, with nothing in between left out."""
    with receiver() as hook:
        sink = MeanHome(
            tmp_path,
            '[models.m.parameters]\nfit_fault = "raise"\n'
            f'[notify]\nurls = ["json://127.0.0.1:{hook.port}"]\n',
        )
        sink.add_rows(100)
        with daemon(
            "retrain_service", "run", config=sink.config, output=tmp_path / "retrain.log"
        ) as started:
            wait_until(lambda: hook.posts, 60, "a message about the failed run")
            assert started.stop() == 0

    assert hook.bodies[0]["title"] == "Hotfit: m: a run failed"
    assert "ZeroDivisionError" in hook.bodies[0]["message"]


def test_a_wrong_address_ends_the_start_with_one_line(tmp_path: Path) -> None:
    """`check` and `run` say it alike."""
    sink = MeanHome(tmp_path, '[notify]\nurls = ["nonsense://x"]\n')

    for name in ("check", "run"):
        done = command(sink, name)
        assert done.returncode == 2
        assert done.stderr.startswith("retrain_service: notify.urls[0]: expected an address")
        assert len(done.stderr.splitlines()) == 1
