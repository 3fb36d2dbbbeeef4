"""Configure structured logging to standard error; a failed write of the log stops nothing."""

from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import suppress
from typing import Literal, TextIO, cast

import structlog


def start_logging(log_format: Literal["auto", "text", "json"], daemon: str) -> None:
    """Log lines on standard error: one event a line, UTC, with the daemon's name and pid."""
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if as_text
        else structlog.processors.JSONRenderer()
    )

    def name_the_process(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        # Not bound context: threads started later would not have it.
        return {**event, "daemon": daemon, "pid": os.getpid()}

    structlog.configure(
        processors=[
            name_the_process,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, _NeverFails(sys.stderr))),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )


class _NeverFails(io.TextIOBase):
    """A log that cannot be written (disk full, reader gone) must not stop what it tells of.

    Whole lines only: several processes write to one file, and unbuffered parts would mix.
    """

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._line = ""

    def write(self, text: str) -> int:
        self._line += text
        if text.endswith("\n"):
            line, self._line = self._line, ""
            with suppress(OSError, ValueError):
                self._target.write(line)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._target.flush()
