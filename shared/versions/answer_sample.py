"""Store the answers of a version to fixed requests, so that the console can compare versions.

`answers.json` beside a model that answers with lists: the retrain daemon writes it before the
version is signed, the console compares two of them. Nothing that is served rests on it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from shared.plain_file import read_plain
from shared.versions.staged_files import StagedFiles
from shared.workloads.contract import Answerer
from shared.workloads.training import AskedLists

ANSWERS_NAME = "answers.json"
_MOST_BYTES = 4_000_000
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class AnswerSample(msgspec.Struct, frozen=True, kw_only=True):
    """what : whose the questions are: "customers". answers : id of who was asked about -> ids,
    best first. names : id in an answer -> its name for people, where it has one."""

    what: str
    answers: dict[str, list[str]]
    names: dict[str, str] = {}


def write_answers(staged: StagedFiles, answerer: Answerer, asked: AskedLists | None) -> None:
    """Ask, and put the answers beside the model, before the manifest names its files."""
    if asked is None or not asked.asked:
        return
    # No answer of these depends on the clock.
    found = answerer.answer("predict", asked.request, _NO_TIME)["predictions"]
    shown = {one for answers in found for one in answers}
    sample = AnswerSample(
        what=asked.what,
        answers=dict(zip(asked.asked, found, strict=True)),
        names={one: name for one, name in asked.names.items() if one in shown},
    )
    staged.write(ANSWERS_NAME, msgspec.json.encode(sample))


def read_answers(directory: Path) -> AnswerSample | None:
    """Read them for showing, unverified; None where there are none or they cannot be read."""
    try:
        content = read_plain(directory / ANSWERS_NAME, _MOST_BYTES)
        return msgspec.json.decode(content, type=AnswerSample)
    except (OSError, msgspec.DecodeError, RecursionError):
        return None
