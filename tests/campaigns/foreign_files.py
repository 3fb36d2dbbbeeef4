"""Somebody who can write below models/ lays files there while both daemons run.

Forged, moved, linked, replayed and special ones. None is ever served, signed or unpickled, both
daemons live, and when the intruder is gone the next training is served.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import msgspec

from tests.campaigns.both_daemons import QUESTION, BothDaemons
from tests.campaigns.tally import Tally
from tests.support.asking import ask
from tests.support.daemons import runs_in

CAMPAIGN = "foreign files in models/"
STAYS_S = 1.5
"""Longer than both daemons need to look."""


class _Intruder:
    """What leaves a trace when somebody unpickles it."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._trace,))


class _Attack:
    """Each method lays one kind of thing; what was there before is put back by `undo`."""

    def __init__(self, both: BothDaemons, folder: Path, dice: random.Random) -> None:
        self.both, self.dice = both, dice
        self.trace = folder / "the intruder was here"
        joblib.dump(_Intruder(self.trace), folder / "foreign")
        self.pickle = (folder / "foreign").read_bytes()
        self.path = both.store.signal_path("m")
        self.old = self.path.read_bytes()
        """A signal of the first version, signed and outdated."""
        self._laid: list[tuple[Path, bytes | None]] = []

    def kinds(self) -> dict[str, Callable[[], None]]:
        return {
            "forged model": lambda: self._replace(self._of_a_version("model"), self.pickle),
            "forged file, any": lambda: self._replace(self._of_a_version(""), self.pickle),
            "forged manifest": self._forged_manifest,
            "moved version": self._moved_version,
            "link for a file": self._link,
            "link for a version": self._link_for_a_version,
            "pipe for a file": self._pipe,
            "pipe for a signal": self._pipe_for_a_signal,
            "endless file": lambda: self._place_link(self.path, Path("/dev/zero")),
            "huge signal": self._huge_signal,
            "huge manifest": self._huge_manifest,
            "deep JSON for a signal": lambda: self._replace(self.path, b"[" * 100_000),
            "deep JSON for a manifest": lambda: self._replace(
                self._of_a_version("manifest"), b'{"a":' * 100_000
            ),
            "old signal": lambda: self._replace(self.path, self.old),
            "unsigned signal": lambda: self._changed_signal(signature=None),
            "signal of a far generation": lambda: self._changed_signal(generation=2**64 - 1),
            "folder for a signal": self._folder_for_a_signal,
            "foreign model directory": self._foreign_model,
        }

    def undo(self) -> None:
        """Files of versions as they were; the signal is the training daemon's to put back."""
        for path, content in reversed(self._laid):
            if path == self.path:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            if content is not None and path.parent.is_dir():
                self.lay(path, content)
        self._laid.clear()

    def _of_a_version(self, beginning: str) -> Path:
        """A file of the version that is served, or now and then of another."""
        found = self.both.signal()
        versions = self.both.store.versions("m")
        name = found.version if found and self.dice.random() < 0.8 else self.dice.choice(versions)
        directory = self.both.store.version_dir("m", name)
        files = [path for path in sorted(directory.iterdir()) if path.name.startswith(beginning)]
        return self.dice.choice(files)

    def lay(self, path: Path, content: bytes) -> None:
        beside = path.with_name(f".laid-{self.dice.random()}")
        beside.write_bytes(content)
        beside.replace(path)

    def _remember(self, path: Path) -> None:
        is_file = path.is_file() and not path.is_symlink()
        self._laid.append((path, path.read_bytes() if is_file else None))

    def _replace(self, path: Path, content: bytes) -> None:
        self._remember(path)
        self.lay(path, content)

    def _place_link(self, path: Path, target: Path) -> None:
        self._remember(path)
        beside = path.with_name(f".laid-{self.dice.random()}")
        beside.symlink_to(target)
        beside.replace(path)

    def _link(self) -> None:
        self._place_link(self._of_a_version(""), self.both.home / "keys" / "signing.key")

    def _link_for_a_version(self) -> None:
        source = self._of_a_version("").parent
        self._place_link(source.with_name("v000998-20260101T000000Z"), source)

    def _moved_version(self) -> None:
        """A whole signed version under the name of another."""
        source = self._of_a_version("").parent
        target = source.with_name("v000999-20260101T000000Z")
        self._laid.append((target, None))
        shutil.copytree(source, target)
        self._changed_signal(version=target.name)

    def _forged_manifest(self) -> None:
        path = self._of_a_version("manifest")
        fields = msgspec.json.decode(path.read_bytes())
        self._replace(path, msgspec.json.encode(fields | {"workload": "tabular"}))

    def _pipe(self) -> None:
        path = self._of_a_version("")
        self._remember(path)
        self._lay_pipe(path)

    def _pipe_for_a_signal(self) -> None:
        self._remember(self.path)
        self._lay_pipe(self.path)

    def _lay_pipe(self, path: Path) -> None:
        beside = path.with_name(f".laid-{self.dice.random()}")
        os.mkfifo(beside)
        beside.replace(path)

    def _huge_signal(self) -> None:
        self._replace(self.path, b'{"a":"' + b"x" * 50_000_000)

    def _huge_manifest(self) -> None:
        self._replace(self._of_a_version("manifest"), b'{"a":"' + b"x" * 50_000_000)

    def _changed_signal(self, **fields: Any) -> None:
        found = self.both.signal()
        if found is None:
            return
        changed = msgspec.to_builtins(found) | {"generation": found.generation + 1} | fields
        self._replace(self.path, msgspec.json.encode(changed))

    def _folder_for_a_signal(self) -> None:
        self._remember(self.path)
        self.path.unlink(missing_ok=True)
        self.path.mkdir()

    def _foreign_model(self) -> None:
        target = self.both.home / "models" / "foreign"
        self._laid.append((target, None))
        shutil.copytree(self.both.home / "models" / "m", target, symlinks=True)


def foreign_files(folder: Path, rounds: int, seed: int, tally: Tally) -> None:
    both, dice = BothDaemons(folder, fit_s=0), random.Random(seed)
    with both.running():
        attack = _Attack(both, folder, dice)
        both.add_rows()
        both.wait_until_well()
        kinds = attack.kinds()
        order: list[str] = []
        while len(order) < rounds:
            order += dice.sample(sorted(kinds), len(kinds))
        for kind in order[:rounds]:
            _round(both, attack, kind, kinds[kind], tally)
        wrong = both.stop()
    tally.add(CAMPAIGN, "at the end", "broken" if wrong else "survived", str(wrong))


def _round(
    both: BothDaemons, attack: _Attack, kind: str, lay: Callable[[], None], tally: Tally
) -> None:
    both.remember()
    highest = both.before.generations["m"]
    outcome, why, let_in = "survived", "", ""
    with contextlib.suppress(FileNotFoundError):  # retention has just removed that version
        lay()
    if attack.dice.random() < 0.5:
        both.add_rows()  # a training meets it as well
    until = time.monotonic() + STAYS_S
    while time.monotonic() < until:
        let_in = let_in or _let_in(both, attack, highest)
        time.sleep(0.1)
    attack.undo()
    both.add_rows()
    try:
        both.wait_until_well()
    except AssertionError as error:
        outcome, why = "needs a person", f"{error}; {both.health()}"
        if attack.path.is_dir():
            attack.path.rmdir()
        attack.lay(attack.path, attack.old)
    let_in = let_in or _let_in(both, attack, highest)
    if let_in:
        outcome, why = "let in", let_in
        attack.trace.unlink(missing_ok=True)
    ended = both.start_what_has_ended()
    if ended:
        outcome, why = "broken", f"{ended} ended"
    tally.add(CAMPAIGN, kind, outcome, why)


def _let_in(both: BothDaemons, attack: _Attack, highest: int) -> str:
    """What is served that no run made, or that nothing is; "" when all is right."""
    if attack.trace.exists():
        return "the intruder's pickle was opened"
    try:
        status, answer = ask(both.port, "POST", "/models/m/predict", QUESTION)
        foreign, _ = ask(both.port, "POST", "/models/foreign/predict", QUESTION)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"nobody answers: {error!r}"
    if foreign == 200:
        return "the model of a foreign directory answers"
    if status != 200:
        return f"a prediction is answered with {status}: {answer}"
    if answer["generation"] < highest or answer["generation"] > highest + 10:
        return f"generation {answer['generation']} answers, {highest} was wanted"
    if answer["version"] not in {run.version for run in runs_in(both.home, "m")}:
        return f"{answer['version']} answers, which no run made"
    return ""
