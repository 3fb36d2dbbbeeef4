"""Open problems by name: each is logged once when it begins and reported until it is over.

The loop's own problems, and those of the daemon's background threads.
"""

from __future__ import annotations

import structlog

from shared.daemon.background import background_problems
from shared.errors import HotfitError
from shared.exchange.json_files import SignalUnreadable

log = structlog.get_logger()


class OpenProblems:
    """The loop's thread alone calls it."""

    def __init__(self) -> None:
        self._sentences: dict[str, str] = {}

    def set(self, name: str, error: BaseException) -> str:
        """Something was raised under this name; returns its sentence."""
        is_expected = isinstance(error, HotfitError | SignalUnreadable | OSError)
        sentence = f"{error}" if is_expected else f"internal error: {type(error).__name__}: {error}"
        if self._sentences.get(name) != sentence:
            if is_expected:
                log.error("problem", name=name, sentence=sentence)
            else:
                log.error("problem", name=name, sentence=sentence, exc_info=error)
        self._sentences[name] = sentence
        return sentence

    def clear(self, name: str) -> None:
        """What is done under this name works again."""
        if name in self._sentences:
            log.info("problem_over", name=name, sentence=self._sentences.pop(name))

    def sentence(self, *, without: str | None = None) -> str | None:
        """All of them in one line; None when there are none."""
        told = [f"{name}: {text}" for name, text in self._sentences.items() if name != without]
        return "; ".join([*told, *background_problems()]) or None
