"""Tickets with a text that somebody wrote: a text pipeline is judged and served on new texts."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api_service.v2.rows import answer_tensors, metadata
from api_service.v2.tensors import Tensor
from shared.errors import RequestInvalid
from shared.keys.signing import VerifyKey
from shared.loading.open_version import LoadedModel, open_version
from shared.versions.model_store import ModelStore
from tests.integration.cases.case_home import CaseHome

SETTINGS = """
[sources.desk]
kind = "sql"
url = "{sqlite}"
lag_s = 0
[models.tickets]
workload = "tabular"
source = "desk"
[models.tickets.streams.records]
collection = "tickets"
id_field = "id"
updated_at_field = "changed"
[models.tickets.parameters]
target = "queue"
time = "changed"
features = ["subject", "channel"]
estimator = "ticket_pipeline:make"
"""

OWN_CODE = """
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

def make():
    columns = make_column_transformer(
        (TfidfVectorizer(), "subject"), (OneHotEncoder(handle_unknown="ignore"), ["channel"])
    )
    return make_pipeline(columns, LogisticRegression(C=30.0))
"""

WORDS = {
    "billing": ("invoice", "refund", "charged", "payment", "receipt"),
    "technical": ("crash", "error", "login", "slow", "timeout"),
    "shipping": ("parcel", "courier", "delivery", "lost", "tracking"),
}


def tickets(n: int) -> list[tuple[Any, ...]]:
    """The queue is in the words; each text is another, and the shape of a code says nothing."""
    dice, now = random.Random(4), datetime.now(UTC)
    found = []
    for i in range(n):
        queue = dice.choice(sorted(WORDS))
        words = [*dice.sample(WORDS[queue], 2), f"case{dice.randrange(10**6)}"]
        queue = dice.choice(sorted(WORDS)) if dice.random() < 0.1 else queue  # people err
        at = (now - timedelta(hours=4 * (n - i))).isoformat()
        found.append((i, " ".join(words), dice.choice(["web", "mail"]), queue, at))
    return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[CaseHome, LoadedModel]:
    folder: Path = tmp_path_factory.mktemp("desk")
    (folder / "ticket_pipeline.py").write_text(OWN_CODE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.syspath_prepend(str(folder))
        place = CaseHome(folder, SETTINGS)
        place.table(
            "tickets",
            "id INTEGER PRIMARY KEY, subject TEXT, channel TEXT, queue TEXT, changed TEXT",
            tickets(300),
        )
        done = place.once("tickets")
        assert done.code == 0, done.everything
        store = ModelStore(place.home / "models")
        version = place.runs()[0].version
        assert version is not None
        live = open_version(
            store.version_dir("tickets", version),
            VerifyKey.read(place.home / "keys" / "signing.pub"),
            model="tickets",
            version=version,
        )
    return place, live


def test_new_texts_are_answered_by_their_words(desk: tuple[CaseHome, LoadedModel]) -> None:
    """Coded as categories, a text pipeline had an accuracy of 1.0 and answered every new text
    alike; the gate now judges it on texts that it has not seen, as clients send them."""
    place, live = desk
    rows = [
        {"subject": f"{words[0]} and {words[3]} again", "channel": "web"}
        for _, words in sorted(WORDS.items())
    ]

    answer = live.answerer.answer("predict", {"instances": rows}, datetime.now(UTC))

    assert answer["predictions"] == ["billing", "shipping", "technical"]
    assert [spec.dtype for spec in live.manifest.features] == ["text", "category"]
    assert live.manifest.serving_form.form == "scikit-learn"
    assert "texts" in live.manifest.serving_form.refused["numpy"]
    candidate = place.runs()[0].details["metrics"]["candidate"]
    assert 0.8 < candidate["accuracy"] < 1.0


def test_the_v2_protocol_carries_texts(desk: tuple[CaseHome, LoadedModel]) -> None:
    """Its BYTES tensors say the same as plain rows; null is an empty text."""
    answerer = desk[1].answerer
    texts = ["refund my payment", None, "lost parcel"]
    tensors = [
        Tensor("subject", "BYTES", (3,), texts, "inputs[0]"),
        Tensor("channel", "BYTES", (3,), ["web", "fax", "mail"], "inputs[1]"),
    ]

    found, n_rows = answer_tensors(answerer, tensors, "predict", datetime.now(UTC))

    assert n_rows == 3
    assert found["predictions"][[0, 2]].tolist() == ["billing", "shipping"]
    assert metadata(desk[1])["inputs"][0]["datatype"] == "BYTES"
    with pytest.raises(RequestInvalid, match=r"subject: expected a text or null, found 7"):
        answerer.answer_rows([{"subject": 7, "channel": "web"}])
