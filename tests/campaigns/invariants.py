"""What must hold of a home whose daemons have stopped, whatever was done to them before.

A program of its own: python -m tests.campaigns.invariants HOME [--facts FILE] [--records FILE].
FILE of facts holds what an earlier call found, and is written anew; FILE of records names what was
acknowledged, as {"collection": [ids]}. Prints every violation; exit code 1 when there is one.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from retrain_service.training_job.retry_snapshot import FOLDER as PINNED_FOLDER
from shared.atomic_file import sha256_of
from shared.errors import HotfitError, NotFound
from shared.exchange.json_files import SignalUnreadable
from shared.keys.signing import PUBLIC_KEY_NAME, SIGNING_KEY_NAME, SigningKey, VerifyKey
from shared.left_temporaries import LEFT_AFTER_S
from shared.run_log.reader import reading
from shared.run_log.run import UNFINISHED, Run
from shared.versions.manifest import verify
from shared.versions.model_store import ModelStore


class Facts(msgspec.Struct):
    """generations : of each model's signal. runs : ids of all runs that had succeeded.

    keys : SHA-256 of each file in `keys/` but temporary ones.
    """

    generations: dict[str, int] = {}
    runs: list[str] = []
    keys: dict[str, str] = {}


def violations(
    home: Path, before: Facts | None = None, acknowledged: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """Every one, as a sentence.

    before : of the same home, earlier. acknowledged : collection -> ids that the API said it kept.
    """
    before = before or Facts()
    runs = _runs(home)
    return [
        *_of_what_is_served(home, before, runs),
        *_of_runs(before, runs),
        *_of_keys(home, before),
        *_of_left_over(home),
        *_of_records(home, acknowledged or {}),
    ]


def facts_of(home: Path) -> Facts:
    store = ModelStore(home / "models")
    signals = {model: store.signal(model) for model in store.model_names()}
    return Facts(
        {model: signal.generation for model, signal in signals.items() if signal},
        [run.run_id for run in _runs(home) if run.status not in UNFINISHED],
        {path.name: sha256_of(path) for path in _key_files(home)},
    )


def _key_files(home: Path) -> list[Path]:
    keys = home / "keys"
    found = keys.iterdir() if keys.is_dir() else ()
    return sorted(path for path in found if not path.name.endswith(".tmp"))


def _of_keys(home: Path, before: Facts) -> Iterator[str]:
    """Each is whole; none was replaced."""
    found = {path.name: path for path in _key_files(home)}
    for name, digest in before.keys.items():
        if name not in found:
            yield f"keys/{name} is gone"
        elif sha256_of(found[name]) != digest:
            yield f"keys/{name} was replaced"
    for name, path in found.items():
        if not path.stat().st_size:
            yield f"keys/{name} is empty"
    if SIGNING_KEY_NAME in found:
        try:
            key_id = SigningKey.read(home / "keys").key_id
            if VerifyKey.read(home / "keys" / PUBLIC_KEY_NAME).key_id != key_id:
                yield "keys: the public key is another one's"
        except HotfitError as error:
            yield f"keys: {error}"


def _runs(home: Path) -> list[Run]:
    log = home / "run_log.sqlite"
    if log.exists():  # what a power cut left is first put right by whoever may write
        with closing(sqlite3.connect(log)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchall()
    try:
        with reading(log) as reader:
            return reader.runs(limit=1000)[0]
    except NotFound:
        return []


def open_runs(home: Path) -> list[str]:
    """Ids of the runs of which no end is written down."""
    return [run.run_id for run in _runs(home) if run.status in UNFINISHED]


def _of_what_is_served(home: Path, before: Facts, runs: Sequence[Run]) -> Iterator[str]:
    """The served version verifies; the generation never goes back."""
    store = ModelStore(home / "models")
    known = set(store.model_names())
    for model in before.generations.keys() - known:
        yield f"{model}: its directory is gone"
    for model in sorted(known):
        try:
            signal = store.signal(model)
            if signal is None:
                if model in before.generations:
                    yield f"{model}: its signal is gone"
                continue
            if signal.generation < before.generations.get(model, 0):
                yield (
                    f"{model}: generation {signal.generation} after"
                    f" {before.generations[model]}: it went back"
                )
            verify(
                store.version_dir(model, signal.version),
                VerifyKey.read(home / "keys" / PUBLIC_KEY_NAME),
                model=model,
                version=signal.version,
                manifest_sha256=signal.manifest_sha256,
            )
        except (HotfitError, SignalUnreadable) as error:
            yield f"{model}: what is served does not verify: {error}"
        else:
            is_logged = (home / "run_log.sqlite").exists()  # else nothing trained here
            if is_logged and signal.version not in {run.version for run in runs if run.promoted}:
                yield f"{model}: no promoted run made {signal.version}, which is served"


def _of_runs(before: Facts, runs: Sequence[Run]) -> Iterator[str]:
    """None is lost, doubled, or open after all has stopped."""
    found = {run.run_id for run in runs}
    for run_id in before.runs:
        if run_id not in found:
            yield f"run {run_id} is lost"
    for (model, version), n in Counter((run.model, run.version_number) for run in runs).items():
        if n > 1:
            yield f"{model}: {n} runs have the version number {version}"
    for run in runs:
        if run.status in UNFINISHED:
            yield f"run {run.run_id} is still {run.status}"


def _of_left_over(home: Path) -> Iterator[str]:
    """Nothing half-written lies about; a temporary file for so long as its writer may live."""
    for path in sorted(home.rglob("*")):
        name, place = path.name, path.relative_to(home).as_posix()
        is_temporary = name.endswith(".tmp") and _age_s(path) > LEFT_AFTER_S
        if name.startswith((".staged-", ".discarded-")) or is_temporary:
            yield f"{place} was left over"
    work = home / "work"
    for path in sorted(work.iterdir()) if work.is_dir() else ():
        # The rows of a run that failed, for its next try, stay until that has ended.
        if path.name != PINNED_FOLDER or any(path.iterdir()):
            yield f"work/{path.name} was left over"


def make_temporaries_old(home: Path) -> None:
    """As if an hour had passed: the next start has to remove them. Reports are the API's matter."""
    for path in home.rglob("*.tmp"):
        if "reports" not in path.relative_to(home).parts:
            at = time.time() - 3600
            os.utime(path, (at, at))


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _of_records(home: Path, acknowledged: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What was acknowledged is there."""
    if not any(acknowledged.values()):
        return
    with closing(sqlite3.connect(f"file:{home / 'feed.sqlite'}?mode=ro", uri=True)) as feed:
        rows = feed.execute("SELECT collection, id FROM records WHERE NOT is_deleted").fetchall()
    found = set(rows)
    for collection, ids in acknowledged.items():
        lost = [id_ for id_ in ids if (collection, id_) not in found]
        if lost:
            counts = f"{len(lost)} of {len(ids)} acknowledged records"
            yield f"{collection}: {counts} are lost: {lost[:3]}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check a home whose daemons have stopped.")
    parser.add_argument("home", type=Path)
    parser.add_argument("--facts", type=Path)
    parser.add_argument("--records", type=Path)
    told = parser.parse_args(arguments)
    before = None
    if told.facts and told.facts.exists():
        before = msgspec.json.decode(told.facts.read_bytes(), type=Facts)
    acknowledged: dict[str, list[str]] = {}
    if told.records:
        acknowledged = msgspec.json.decode(told.records.read_bytes(), type=dict[str, list[str]])
    found = violations(told.home, before, acknowledged)
    for sentence in found:
        print(sentence)
    if told.facts and not found:
        told.facts.write_bytes(msgspec.json.encode(facts_of(told.home)))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
