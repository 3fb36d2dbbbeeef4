"""Write the server library's log records in Hotfit's log format."""

from __future__ import annotations

import logging

import structlog


class ServerLog(logging.Handler):
    """Hands each line to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, record.getMessage(), by="server", exc_info=record.exc_info
        )
