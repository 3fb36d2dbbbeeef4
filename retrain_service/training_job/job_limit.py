"""Limit the number of runs at the same time and choose the next. Pure; no clock, no process."""

from __future__ import annotations


class JobLimit:
    """First come, first served: whoever has waited longest goes first."""

    def __init__(self, n_slots: int) -> None:
        self.n_slots = n_slots
        self._holding: set[str] = set()
        self._waiting: dict[str, bool] = {}  # in the order in which they came; asked in this round

    @property
    def waiting(self) -> tuple[str, ...]:
        return tuple(self._waiting)

    def begin_round(self) -> None:
        """Whoever waits asks once a round. One that did not, because it failed before it came to
        that, waits no longer: it must not hold up the others."""
        self._waiting = {name: False for name, has_asked in self._waiting.items() if has_asked}

    def ask(self, name: str) -> bool:
        """True when `name` may start now; it then holds a slot until it gives it back."""
        if name in self._holding:
            return True
        self._waiting[name] = True
        n_free = self.n_slots - len(self._holding)
        if name not in list(self._waiting)[:n_free]:
            return False
        del self._waiting[name]
        self._holding.add(name)
        return True

    def release(self, name: str) -> None:
        """`name` no longer runs, or no longer wants to."""
        self._holding.discard(name)
        self._waiting.pop(name, None)
