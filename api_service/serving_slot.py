"""Hold the live model of each name. No I/O, no threads and no decisions of its own."""

from __future__ import annotations

from collections.abc import Iterator

from shared.errors import NotFound, NotReady
from shared.model_loader import LoadedModel

_NAMED_IN_ERRORS = 20


class ServingSlot:
    """The place of one model.

    Any thread may call `current` and `require`; only the reload thread calls `swap`. Both are
    one attribute access, so a reader sees the old model or the new one and never waits.
    """

    __slots__ = ("_live", "n_failed", "name", "why_empty")

    def __init__(self, name: str) -> None:
        self.name = name
        self._live: LoadedModel | None = None
        self.why_empty = "it has not been looked at yet."
        # Requests answered 5xx; only the request thread adds, the reload thread reads.
        self.n_failed = 0

    def current(self) -> LoadedModel | None:
        """The model that serves now. Take it once per request and use only that object."""
        return self._live

    def require(self) -> LoadedModel:
        """The model that serves now.

        Raises:
            NotReady: none does; says why.
        """
        live = self._live
        if live is None:
            raise NotReady(f"model {self.name} serves no version: {self.why_empty}")
        return live

    def swap(self, new: LoadedModel) -> LoadedModel | None:
        """Put a warmed model in and return the one that was there."""
        old, self._live = self._live, new
        return old


class ServingTable:
    """The slots by model name. Any thread reads; only the reload thread adds."""

    def __init__(self) -> None:
        self._slots: dict[str, ServingSlot] = {}

    def __iter__(self) -> Iterator[ServingSlot]:
        return iter(list(self._slots.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._slots

    def add(self, name: str) -> ServingSlot:
        """The slot of a model, made when it is new."""
        if name not in self._slots:
            # A new dictionary, so that a reader iterating the old one is not disturbed.
            self._slots = dict(sorted({**self._slots, name: ServingSlot(name)}.items()))
        return self._slots[name]

    def slot(self, name: str) -> ServingSlot:
        """The slot of a model.

        Raises:
            NotFound: there is no such model; names those there are.
        """
        found = self._slots.get(name)
        if found is None:
            raise NotFound(f"no model {name!r}; {self._known()}")
        return found

    def default(self, configured: str) -> ServingSlot:
        """The slot of the configured default model, or of the only one.

        Raises:
            NotFound: there is no model, or there are several and none is the default.
        """
        if configured:
            return self.slot(configured)
        if len(self._slots) == 1:
            return next(iter(self._slots.values()))
        raise NotFound(
            f"/predict needs one model or api.default_model; {self._known()}"
            " Use /models/<model>/predict."
        )

    def names(self) -> list[str]:
        return list(self._slots)

    def _known(self) -> str:
        names = self.names()
        if not names:
            return "there is none yet."
        shown = ", ".join(names[:_NAMED_IN_ERRORS])
        more = len(names) - _NAMED_IN_ERRORS
        return f"there is {shown}{f' and {more} more' if more > 0 else ''}."
