"""What a killed writer left goes; what somebody is writing now stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shared import atomic_file
from shared.atomic_file import write_atomic
from shared.left_temporaries import LEFT_AFTER_S, remove_left_temporaries


def test_what_a_killed_writer_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lay in reports/ for ever, one for each worker that was killed at the wrong moment."""

    class Killed(BaseException):
        pass

    def die(*_arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as killing:
        killing.setattr(atomic_file, "replace", die)
        killing.setattr(Path, "unlink", lambda *_a, **_k: None)  # the dead clean nothing up
        with pytest.raises(Killed):
            write_atomic(tmp_path / "host-1.json", b"{}")
    (left,) = tmp_path.iterdir()
    assert remove_left_temporaries(tmp_path) == [], "it may be of somebody who writes now"

    write_atomic(tmp_path / "host-2.json", b"{}")
    old = time.time() - LEFT_AFTER_S - 1
    os.utime(left, (old, old))
    os.utime(tmp_path / "host-2.json", (old, old))

    assert remove_left_temporaries(tmp_path) == [left]
    assert [path.name for path in tmp_path.iterdir()] == ["host-2.json"]
    assert remove_left_temporaries(tmp_path / "none") == []
