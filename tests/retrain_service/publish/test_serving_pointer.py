"""Rollback, hold and release: what cannot be done is refused with its reason."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from retrain_service.publish.serving_pointer import apply_request
from shared.exchange.control_request import Request
from tests.support.versions import ServingHome

NOW = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)


def request(kind: Any, version: str | None = None) -> Request:
    return Request(
        id="request1",
        kind=kind,
        model="m",
        version=version,
        requested_by="the key admin",
        requested_at=NOW,
    )


@pytest.mark.parametrize("kind", ["rollback", "hold", "release"])
def test_a_damaged_signal_is_a_refusal_and_not_a_request_that_waits_for_ever(
    tmp_path: Path, kind: str
) -> None:
    """Whoever asked must hear of it; the damaged file stays for whoever repairs it."""
    home = ServingHome(tmp_path)
    first = home.publish("m", 1)
    home.publish("m", 2)
    signal = home.store.signal_path("m")
    signal.write_bytes(b"{half")

    said, sentence = apply_request(home.store, request(kind, first), home.key.verify_key, NOW)

    assert said == "refusal"
    assert sentence.startswith(f"{kind} refused: ")
    assert "reload_signal.json" in sentence
    assert signal.read_bytes() == b"{half"


def test_nothing_can_be_held_before_the_first_version(tmp_path: Path) -> None:
    """The sentence names what is missing."""
    home = ServingHome(tmp_path)

    assert apply_request(home.store, request("hold"), home.key.verify_key, NOW) == (
        "refusal",
        "hold refused: model m has no version yet.",
    )
