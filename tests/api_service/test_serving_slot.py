"""A reader in another thread never meets a slot that is neither open nor to be opened."""

from __future__ import annotations

from typing import Any, cast

from api_service.serving_slot import ServingSlot
from shared.loading.open_version import LoadedModel


class WatchedSlot(ServingSlot):
    """Counts the steps after which a reader would find neither a model nor a reason to open it."""

    n_refusing = 0
    has_served = False

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if self.has_served:
            super().__setattr__(
                "n_refusing", self.n_refusing + (self.live is None and not self.is_idle)
            )


def test_no_moment_of_a_close_or_a_swap_refuses_a_reader() -> None:
    """A request that comes in the middle of a close opens the model again; it is not sent away."""
    slot = WatchedSlot("m")
    model = cast(LoadedModel, object())
    slot.swap(model)
    slot.has_served = True

    closed = slot.close()
    slot.swap(model)

    assert closed is model
    assert slot.n_refusing == 0
