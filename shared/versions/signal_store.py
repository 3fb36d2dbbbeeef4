"""Write and verify reload signals, and remember the last one of each model.

A signal lies below `models/`, where others may be able to write; so it is signed, and beside it,
in `state/`, where only the daemons' user can, the last one of each model is remembered: the
generation never goes back, and what was put in its place is found out and replaced. Until the
training daemon has signed what an earlier release wrote (`MARKER_NAME` says so), unsigned signals
are believed.
Only the training daemon, or a command while none runs, has a signing key here and writes.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shared.atomic_file import make_directories, storage_errors, write_atomic
from shared.errors import KeyUnusable, SignatureInvalid, StorageUnavailable
from shared.exchange.bounded_json import decode_bounded
from shared.exchange.json_files import SignalUnreadable, read_struct, write_struct
from shared.exchange.reload_signal import SIGNAL_NAME, ReloadSignal
from shared.keys.signature import check_signature, signature_of
from shared.keys.signing import SigningKey, VerifyKey
from shared.plain_file import FileRefused, Stamp, read_plain, stamp_of

STATE = "state"
MARKER_NAME = "signals-are-signed"
MOST_BYTES = 64_000
MOST_GENERATION = 2**53
"""Far from what anybody reaches, and a whole number for every reader of JSON."""


class Remembered(msgspec.Struct, frozen=True):
    """`state/signals/<model>.json`. promoted : versions that were ever wanted, the last last."""

    signal: ReloadSignal
    promoted: list[str] = []


class SignalStore:
    """Signals of every model below one directory.

    Args:
        read_key: the trusted public key; None where signals are only shown.
        signing: for who writes signals; then `read` answers what was wanted last, whatever was
            put in the place of the signal.
    """

    def __init__(
        self,
        models_dir: Path,
        read_key: Callable[[], VerifyKey] | None = None,
        signing: SigningKey | None = None,
    ) -> None:
        self._models_dir = models_dir
        self._state_dir = models_dir.parent / STATE
        self._signing = signing
        self._read_key = (lambda: signing.verify_key) if signing is not None else read_key
        self._believed: dict[str, tuple[bytes, ReloadSignal]] = {}
        self._remembered: dict[str, tuple[Stamp | None, Remembered | None]] = {}

    def path(self, model: str) -> Path:
        return self._models_dir / model / SIGNAL_NAME

    def remembered(self, model: str) -> Remembered | None:
        """What was wanted last as far as the training daemon knows; None before it was said."""
        path = self._memory_path(model)
        stamp = stamp_of(path)
        known = self._remembered.get(model)
        if known is None or known[0] != stamp:
            try:
                known = (stamp, read_struct(path, Remembered))
            except SignalUnreadable:
                return None
            self._remembered[model] = known
        return known[1]

    def read(self, model: str) -> ReloadSignal | None:
        """What is wanted now; None before the first promotion.

        Raises:
            SignalUnreadable: what lies there is not a signal that can be believed.
        """
        remembered = None
        try:
            published = self._published(model)
            if published is None and (remembered := self.remembered(model)) is not None:
                last = remembered.signal
                raise SignalUnreadable(
                    f"{self.path(model)}: it is gone; generation {last.generation} is wanted:"
                    f" {last.version}"
                )
        except SignalUnreadable:
            remembered = remembered or self.remembered(model)
            if self._signing is None or remembered is None:
                raise
            return remembered.signal
        return published

    # -- the training daemon's half --------------------------------------------------------------

    def write(self, model: str, signal: ReloadSignal, versions: Iterable[str]) -> None:
        """State what is wanted. versions : those that there are; others need not be remembered.

        Raises:
            ValueError: the generation is none that could be stated.
            StorageUnavailable: the disk refused; the signal before stands.
        """
        if not 0 < signal.generation <= MOST_GENERATION:
            raise ValueError(f"expected a generation from 1 to 2^53, found {signal.generation}")
        self._publish(model, signal)
        if self._signing is not None:
            # The rename of the signal was the commit; what is not remembered now is later.
            with contextlib.suppress(StorageUnavailable):
                self._remember(model, self._signed(model, signal), versions)

    def restore(self, model: str, versions: Sequence[str]) -> str | None:
        """Put the signal that was wanted last back where something else lies in its place.

        Nothing is put back that names a version which is gone: somebody removed the model.

        Returns:
            What was found there, when it was replaced.

        Raises:
            StorageUnavailable: it cannot be written now.
        """
        remembered = self.remembered(model)
        try:
            published = self._published(model)
            fault = "it was gone" if published is None else None
        except SignalUnreadable as error:
            published, fault = None, str(error)
        if self._signing is None:
            return None
        if published is None:
            if remembered is None or remembered.signal.version not in versions:
                return None
            self._publish(model, remembered.signal)
            return fault
        is_newer = remembered is None or remembered.signal.generation < published.generation
        if is_newer and published.signature is not None:
            self._remember(model, published, versions)
        return None

    def sign_found(self, models: Mapping[str, Sequence[str]]) -> list[str]:
        """Sign, once in the life of a home, the signals that an earlier release left unsigned.

        models : each with the versions that were ever wanted, the last one last.

        Returns:
            A sentence for each that cannot be signed; those are not believed any more.

        Raises:
            StorageUnavailable: the disk refused; the next start goes on.
        """
        if (self._state_dir / MARKER_NAME).exists():
            return []
        faults = []
        for model, promoted in models.items():
            try:
                signal = self._published(model)
            except SignalUnreadable as error:
                faults.append(f"{model}: {error}")
                continue
            last = self.remembered(model)
            if signal is None or (last is not None and last.signal.generation >= signal.generation):
                continue
            self._publish(model, signal)
            self._remember(model, self._signed(model, signal), promoted, promoted)
        with storage_errors(self._state_dir):
            make_directories(self._state_dir, 0o700)
        write_atomic(self._state_dir / MARKER_NAME, b"")
        return faults

    # -- small steps -----------------------------------------------------------------------------

    def _memory_path(self, model: str) -> Path:
        return self._state_dir / "signals" / f"{model.replace('/', '.')}.json"  # no name has a dot

    def _published(self, model: str) -> ReloadSignal | None:
        path = self.path(model)
        try:
            content = read_plain(path, MOST_BYTES)
        except FileNotFoundError:
            return None
        except FileRefused as refused:
            raise SignalUnreadable(f"{path.parent}: {refused}") from None
        except OSError as error:
            raise SignalUnreadable(f"{path}: cannot be read: {error}.") from error
        known = self._believed.get(model)
        if known is None or known[0] != content:
            known = (content, self._checked(model, content))
            self._believed[model] = known
        if (remembered := self.remembered(model)) is not None:
            _check_order(path, known[1], remembered.signal)
        return known[1]

    def _checked(self, model: str, content: bytes) -> ReloadSignal:
        path = self.path(model)
        try:
            fields = decode_bounded(content)
            signal = msgspec.convert(fields, ReloadSignal)
        except msgspec.DecodeError as error:
            raise SignalUnreadable(f"{path}: not a {ReloadSignal.__name__}: {error}") from None
        if not 0 < signal.generation <= MOST_GENERATION:
            raise SignalUnreadable(
                f"{path}: expected a generation from 1 to 2^53, found {signal.generation}"
            )
        self._check_signature(model, fields, signal)
        return signal

    def _check_signature(self, model: str, fields: dict[str, Any], signal: ReloadSignal) -> None:
        if signal.signature is None and not (self._state_dir / MARKER_NAME).exists():
            return
        if self._read_key is None:
            return
        try:
            key = self._read_key()
            check_signature(fields, signal.signature, key, str(self.path(model)), _purpose(model))
        except (SignatureInvalid, KeyUnusable) as error:
            raise SignalUnreadable(str(error)) from None

    def _signed(self, model: str, signal: ReloadSignal) -> ReloadSignal:
        if self._signing is None:
            return signal
        fields = msgspec.json.decode(msgspec.json.encode(signal))
        signature = signature_of(fields, self._signing, _purpose(model))
        return msgspec.structs.replace(signal, signature=signature)

    def _publish(self, model: str, signal: ReloadSignal) -> None:
        signed = self._signed(model, signal)
        _set_folder_aside(self.path(model))
        try:
            write_struct(self.path(model), signed)
        except StorageUnavailable:
            # Only that its name is on the disk may have failed: then it is what readers see.
            with contextlib.suppress(SignalUnreadable):
                if self._published(model) == signed:
                    return
            raise

    def _remember(
        self,
        model: str,
        signal: ReloadSignal,
        versions: Iterable[str],
        promoted: Sequence[str] | None = None,
    ) -> None:
        known = self.remembered(model)
        before = promoted if promoted is not None else (known.promoted if known else [])
        stored = set(versions)
        kept = [name for name in before if name in stored and name != signal.version]
        with storage_errors(self._state_dir):
            make_directories(self._state_dir, 0o700)
        write_struct(self._memory_path(model), Remembered(signal, [*kept, signal.version]))


def _set_folder_aside(path: Path) -> None:
    """Somebody's folder in the place of a file: no file can take its name as long as it has it."""
    if path.is_dir() and not path.is_symlink():
        with storage_errors(path):
            path.rename(path.with_name(f"{path.name}.set-aside-{uuid.uuid4().hex[:8]}"))


def _purpose(model: str) -> bytes:
    """Bound to its model: no signal of another one, and no manifest, can be put in its place."""
    return f"hotfit reload signal of {model}\n".encode()


def _check_order(path: Path, found: ReloadSignal, last: ReloadSignal) -> None:
    if found.generation < last.generation:
        raise SignalUnreadable(
            f"{path}: it is of generation {found.generation}, but generation {last.generation}"
            f" has been wanted since: {last.version}"
        )
    if found.generation == last.generation and (found.version, found.manifest_sha256) != (
        last.version,
        last.manifest_sha256,
    ):
        raise SignalUnreadable(
            f"{path}: generation {last.generation} named {last.version}, now {found.version}"
        )
