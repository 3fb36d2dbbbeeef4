"""Hold the live version of each model. No I/O, no threads and no decisions of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from shared.errors import NotFound, NotReady
from shared.loading.open_version import LoadedModel

_NAMED_IN_ERRORS = 20
_NO_ENTRIES = memoryview(bytes(8)).cast("Q")


def _load_nothing(_slot: ServingSlot) -> None:
    """Where no model is opened on demand."""


class ServingSlot:
    """The place of one model.

    Any thread may call `current`, `get_or_load` and `require`; only the reload thread calls the
    other methods. A reader of `current` gets the old version or the new one and never waits: the
    call reads one attribute, and one number in shared memory while a warm version waits for the
    other workers.
    """

    __slots__ = (
        "_entries",
        "_index",
        "_live",
        "_load",
        "_next",
        "is_idle",
        "is_used",
        "n_failed",
        "name",
        "not_ready_reason",
    )

    def __init__(self, name: str, load: Callable[[ServingSlot], None] = _load_nothing) -> None:
        self.name = name
        self._load = load
        # Closed for now: the first request opens it.
        self.is_idle = False
        # Since somebody last looked; any thread sets it, the reload thread takes it back.
        self.is_used = False
        self._live: LoadedModel | None = None
        self._next: LoadedModel | None = None
        self._entries: memoryview = _NO_ENTRIES
        self._index = 0
        self.not_ready_reason = "its reload signal has not been read yet."
        # Requests answered 5xx; only the request thread adds, the reload thread reads.
        self.n_failed = 0

    def current(self) -> LoadedModel | None:
        """The model that serves now. Take it once per request and use only that object."""
        self.is_used = True
        next_model = self._next
        if next_model is not None and self._entries[self._index] == next_model.generation:
            return next_model
        return self._live

    @property
    def live(self) -> LoadedModel | None:
        """As `current`, for those who only look: does not count as use."""
        next_model = self._next
        if next_model is not None and self._entries[self._index] == next_model.generation:
            return next_model
        return self._live

    def get_or_load(self) -> LoadedModel | None:
        """As `current`; one that is closed for now is opened first."""
        live = self.current()
        if live is None and self.is_idle:
            self._load(self)
            live = self.current()
        return live

    def require(self) -> LoadedModel:
        """As `get_or_load`, for who needs one.

        Raises:
            NotReady: none serves; says why.
        """
        live = self.get_or_load()
        if live is None:
            raise NotReady(f"model {self.name} serves no version: {self.not_ready_reason}")
        return live

    def stage_next(self, next_model: LoadedModel, entries: memoryview, index: int) -> None:
        """Let a warmed model serve from the moment its generation is in the cell."""
        self._entries, self._index = entries, index
        self._next = next_model  # last: a reader that sees it needs the cell

    def unstage_next(self) -> None:
        """Forget what `stage_next` put there. Only once it can no longer be switched to."""
        self._next = None

    @property
    def is_switched(self) -> bool:
        """Whether the armed model serves by now."""
        next_model = self._next
        return next_model is not None and self.live is next_model

    def close(self) -> LoadedModel | None:
        """Serve nothing until somebody asks; what was there."""
        self.is_idle = True  # first: a reader that finds no model must know that it may open it
        old, self._live = self._live, None
        return old

    def swap(self, new: LoadedModel) -> LoadedModel | None:
        """Put a warmed model in and return the one that was there."""
        old, self._live = self._live, new
        self.is_idle = False
        self._next = None  # after: a reader finds the new one in one place or the other
        return old


class ServingTable:
    """The slots by model name. Any thread reads; only the reload thread adds and removes.

    Args:
        load: opens the model of an idle slot and returns when it serves or cannot.
    """

    def __init__(self, load: Callable[[ServingSlot], None] = _load_nothing) -> None:
        self._load = load
        self._slots: dict[str, ServingSlot] = {}
        # A name that comes back gets the slot that it had, which others may hold.
        self._removed: dict[str, ServingSlot] = {}

    def __iter__(self) -> Iterator[ServingSlot]:
        return iter(list(self._slots.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._slots

    def add(self, name: str) -> ServingSlot:
        """The slot of a model, made when it is new."""
        self.add_all([name])
        return self._slots[name]

    def add_all(self, names: Iterable[str]) -> None:
        """Make the slots that are new."""
        new = {
            name: self._removed.get(name) or ServingSlot(name, self._load)
            for name in names
            if name not in self._slots
        }
        if new:
            # A new dictionary, so that a reader iterating the old one is not disturbed.
            self._slots = dict(sorted({**self._slots, **new}.items()))

    def remove(self, name: str) -> None:
        """There is no such model any more; its slot must be empty."""
        slots = dict(self._slots)
        slot = self._removed[name] = slots.pop(name)
        slot.is_idle = False
        self._slots = slots

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
