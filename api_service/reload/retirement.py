"""Complete a swap after its last request: free memory, finish the receipt, log it.

Ends no request. Only the reload thread calls.
"""

from __future__ import annotations

import msgspec
import structlog

from api_service.reload.model_state import ModelState
from shared.daemon.memory import rss_bytes, trim
from shared.exchange.worker_report import Receipt
from shared.versions.model_version import VersionState

log = structlog.get_logger()


def retire_ended(model: ModelState, drain_timeout_s: float) -> None:
    """Retire every version of a model that no request uses any more; waits for nobody."""
    for swap in list(model.draining):
        draining = swap.draining
        if not draining.is_over:
            if draining.lasted_ms > drain_timeout_s * 1e3 and not draining.is_overdue:
                draining.is_overdue = True
                log.warning(
                    "drain_overdue",
                    sentence="A request still uses the old version after api.drain_timeout_s.",
                    model=model.name,
                    version=draining.version,
                    after_s=drain_timeout_s,
                )
            continue
        trim()
        rss_after_bytes = rss_bytes()  # before anything changes: it needs a descriptor
        model.draining.remove(swap)
        model.set_state((draining.version, draining.generation), VersionState.RETIRED)
        receipt = msgspec.structs.replace(
            swap.receipt,
            drain_ms=draining.lasted_ms,
            rss_after_bytes=rss_after_bytes,
            requests_failed=model.slot.n_failed - swap.failed_before,
        )
        if model.receipt is swap.receipt:
            model.receipt = receipt
        log_swap(model.name, receipt)


def log_swap(name: str, receipt: Receipt) -> None:
    """One line a finished swap, with all of its receipt."""
    log.info("swapped", model=name, **msgspec.to_builtins(receipt))
