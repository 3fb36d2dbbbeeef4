"""Notify people of events by mail, Slack, webhook, …; apprise delivers on a thread of its own.

The loop only puts a notification into a bounded queue and never waits. Notifications that do not
fit are counted, and the next one says how many were dropped. Knows events by kind and sentence.
"""

from __future__ import annotations

import logging
import queue
import re
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from retrain_service.backoff import jittered
from shared.daemon.background import BackgroundThread, run_in_background
from shared.errors import SettingsInvalid
from shared.run_log.reader import Event
from shared.settings.sections import NoticeKind, NotifySettings

log = structlog.get_logger()

KIND_OF_EVENT: Mapping[str, NoticeKind] = {
    "failed": "failure",
    "error": "failure",
    "reject": "rejection",
    "rollback": "rollback",
    "quarantine": "quarantine",
    "source_outage": "outage",
    "budget": "budget",
    "withheld": "data",
    "promote": "promotion",
    "baseline": "baseline",
}
QUEUE_LENGTH = 100
MOST_MATTERS = 1_000
PAUSES_S = (1.0, 5.0, 30.0)
"""Before the second, third and fourth try of one notice."""
CLOSE_TIMEOUT_S = 5.0
_TITLES: Mapping[NoticeKind, str] = {
    "failure": "a run failed",
    "rejection": "a new version was not promoted",
    "rollback": "rolled back",
    "quarantine": "a version was quarantined",
    "outage": "a source does not answer",
    "data": "data of a source looks wrong",
    "budget": "the budget of billed reads is used up",
    "promotion": "a new version is served",
    "baseline": "the naive baseline is served",
}


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing to tell. `n_before`: how many like it were held back since the last one told."""

    kind: NoticeKind
    model: str
    sentence: str
    at: datetime
    run_id: str | None
    n_before: int = 0

    @property
    def title(self) -> str:
        return f"Hotfit: {self.model}: {_TITLES[self.kind]}"

    def body(self, n_dropped: int) -> str:
        lines = [self.sentence, f"{self.at:%Y-%m-%d %H:%M:%S} UTC on {socket.gethostname()}."]
        if self.run_id is not None:
            lines.append(f"Details: python -m retrain_service show {self.run_id}")
        if self.n_before:
            lines.append(f"{self.n_before} more like it came since the last message of this kind.")
        if n_dropped:
            lines.append(f"{n_dropped} other messages were dropped: too many at the same time.")
        return "\n".join(lines)


class Notifier:
    """One thread. `send` may be called from the loop's thread and never waits."""

    def __init__(
        self,
        settings: NotifySettings,
        *,
        queue_length: int = QUEUE_LENGTH,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        """Check the addresses; nothing is sent yet.

        Raises:
            SettingsInvalid: apprise is not installed, or does not know an address.
        """
        self._kinds = frozenset(settings.kinds)
        self._repeat_after = settings.repeat_after
        self._pauses_s = pauses_s
        self._addresses = open_addresses(settings.urls)
        self._queue: queue.Queue[Notification] = queue.Queue(queue_length)
        self._last_sent: dict[tuple[NoticeKind, str, str], datetime] = {}
        self._held_back: dict[tuple[NoticeKind, str, str], int] = {}
        self._counting = threading.Lock()
        self._n_dropped = 0
        self._counts = {"sent": 0, "failed": 0, "dropped": 0}
        self._closing = threading.Event()
        self._ended = threading.Event()
        self._thread: BackgroundThread | None = None
        if self._addresses:
            self._thread = run_in_background("notify", self._turn, self._ended)

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages since the start that were sent everywhere, failed somewhere, were dropped."""
        with self._counting:
            return dict(self._counts)

    def send(self, event: Event) -> None:
        """Queue the event when it is of a kind that is told of and not just told."""
        kind = KIND_OF_EVENT.get(event.kind)
        if self._thread is None or kind is None or kind not in self._kinds:
            return
        # Versions and figures differ from one to the next; the matter is the same.
        same = (kind, event.model, re.sub(r"\d+", "", event.sentence))
        last = self._last_sent.get(same)
        # A last time that is still to come was written while the clock was wrong.
        if last is not None and timedelta(0) <= event.at - last < self._repeat_after:
            self._held_back[same] = self._held_back.get(same, 0) + 1
            return
        notification = Notification(
            kind,
            event.model,
            event.sentence,
            event.at,
            event.run_id,
            n_before=self._held_back.pop(same, 0),
        )
        try:
            self._queue.put_nowait(notification)
        except queue.Full:
            self._drop(1, "the queue is full")
            return
        self._last_sent[same] = event.at
        self._forget_old(event.at)

    def close(self) -> None:
        """Give what is queued a few seconds; what is not sent then is dropped and said."""
        if self._thread is None:
            return
        self._closing.set()
        self._thread.join(CLOSE_TIMEOUT_S)
        if not self._queue.empty():
            self._drop(self._queue.qsize(), "the daemon stops")

    def _forget_old(self, now: datetime) -> None:
        old = [same for same, at in self._last_sent.items() if now - at >= self._repeat_after]
        # How many were held back is said with the next one, if there is one before long.
        n_too_many = len(self._last_sent) - MOST_MATTERS
        for sink, same in enumerate(old):
            if same not in self._held_back or sink < n_too_many:
                del self._last_sent[same]
                self._held_back.pop(same, None)

    def _count(self, outcome: str) -> None:
        with self._counting:
            self._counts[outcome] += 1

    def _drop(self, n: int, why: str) -> None:
        with self._counting:
            self._n_dropped += n
            self._counts["dropped"] += n
        log.warning("notification_dropped", sentence=f"{n} messages to people were dropped: {why}.")

    # -- the thread ------------------------------------------------------------------------------

    def _turn(self) -> None:
        try:
            notification = self._queue.get(timeout=0.2)
        except queue.Empty:
            if self._closing.is_set():
                self._ended.set()
        else:
            self._deliver(notification)

    def _deliver(self, notification: Notification) -> None:
        with self._counting:
            n_dropped, self._n_dropped = self._n_dropped, 0
        body, left = notification.body(n_dropped), list(self._addresses)
        for pause_s in (*self._pauses_s, None):
            left = [address for address in left if not address.send(notification.title, body)]
            if not left:
                self._count("sent")
                return
            if pause_s is None or self._closing.wait(jittered(pause_s)):
                break
        where = ", ".join(address.shown for address in left)
        self._count("failed")
        reasons = "; ".join(sorted({address.reason for address in left if address.reason}))
        log.warning(
            "notification_failed",
            model=notification.model,
            sentence=f"could not be told to {where}: {reasons or 'no reason given'};"
            f" it said: {notification.title}: {notification.sentence}",
        )
        if n_dropped and len(left) == len(self._addresses):
            with self._counting:
                self._n_dropped += n_dropped


class Address:
    """One place to tell, so that a retry repeats only where it failed."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self.shown: str = target.url(privacy=True).partition("?")[0]
        self.reason = ""

    def send(self, title: str, body: str) -> bool:
        with _LogCapture() as said:
            try:
                is_sent = bool(self._target.notify(title=title, body=body))
            except Exception as error:  # noqa: BLE001 - a hundred services, any of them
                said.lines.append(f"{type(error).__name__}: {error}")
                is_sent = False
        self.reason = "" if is_sent else " ".join(said.lines)
        return is_sent


class _LogCapture(logging.Handler):
    """apprise answers True or False; why, it only logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> _LogCapture:
        logger = logging.getLogger("apprise")
        logger.propagate = False  # it is said by us, once
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)


def open_addresses(urls: Sequence[str]) -> list[Address]:
    """Check the addresses; nothing is sent.

    Raises:
        SettingsInvalid: apprise is not installed, or does not know an address.
    """
    if not urls:
        return []
    try:
        import apprise
    except ImportError:
        raise SettingsInvalid(
            "notify.urls: needs the package apprise, which is not installed here: install the"
            ' extra "notify" (python -m pip install apprise).'
        ) from None
    found = []
    with _LogCapture():
        for i, url in enumerate(urls):
            target = apprise.Apprise.instantiate(url)
            if target is None:
                # Not the whole of it: addresses hold passwords.
                scheme = url.partition(":")[0] + ":…" if ":" in url else "no scheme"
                raise SettingsInvalid(
                    f"notify.urls[{i}]: expected an address as apprise writes it, such as"
                    f' "mailto://user:password@example.com", found {scheme}'
                )
            found.append(Address(target))
    return found
