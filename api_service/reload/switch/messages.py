"""The messages between workers and the main process about switches. Values only.

Each message is complete in itself: a reader needs no state beyond the order of the channel.
"""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of all of them. `model` is a model's whole name."""

    model: str


# -- a worker says -----------------------------------------------------------------------------


class Register(Message, frozen=True):
    """I am about to serve this model; what serves elsewhere, and where is its cell?"""


class Unregister(Message, frozen=True):
    """I hold no version of this model any more; do not wait for me."""


class Opening(Message, frozen=True):
    """I have begun to open this version, or shall as soon as the one I hold is decided on."""

    version: str
    generation: int


class Ready(Message, frozen=True):
    """It is warm and armed: it answers from the moment its generation is in the cell."""

    version: str
    generation: int


class Failed(Message, frozen=True):
    """I cannot open it and never shall at this generation."""

    version: str
    generation: int
    reason: str


class Retry(Message, frozen=True):
    """I cannot open it now; nothing is known to be wrong with it."""

    version: str
    generation: int
    reason: str


# -- the main process says ---------------------------------------------------------------------


class Registered(Message, frozen=True):
    """The answer to Join.

    index : the model's cell; -1 when the board is full and each worker switches by itself.
    version, generation : what the other workers serve; None when nothing is served yet.
    refused : generation -> why nobody may serve it.
    """

    index: int
    version: str | None
    generation: int
    refused: dict[int, str]


class Committed(Message, frozen=True):
    """Everybody was ready; the cell has been flipped."""

    version: str
    generation: int


class Refused(Message, frozen=True):
    """Somebody cannot serve it, so nobody does."""

    generation: int
    reason: str


class Superseded(Message, frozen=True):
    """A newer one is wanted; this one will never be flipped to and may be let go."""

    generation: int


FromWorker = Register | Unregister | Opening | Ready | Failed | Retry
FromMain = Registered | Committed | Refused | Superseded

_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
_from_main: msgspec.msgpack.Decoder[FromMain] = msgspec.msgpack.Decoder(FromMain)
encode = msgspec.msgpack.encode


def from_worker(content: bytes) -> FromWorker:
    return _from_worker.decode(content)


def from_main(content: bytes) -> FromMain:
    return _from_main.decode(content)
