"""What a version's manifest proves."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from shared.errors import DigestMismatch, ManifestInvalid, SignatureInvalid
from shared.keys.signing import SigningKey
from shared.versions.manifest import (
    MANIFEST_NAME,
    Holdout,
    Manifest,
    Promotion,
    ServingForm,
    Watermark,
    encode,
    sign,
    verify,
)
from shared.workloads.rows import FeatureSpec
from tests.support.versions import described

VERSION = "v000001-20260101T000000Z"


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.read_or_create(tmp_path / "keys")


def write_version(directory: Path, key: SigningKey) -> Path:
    """A signed version with one file."""
    directory.mkdir()
    (directory / "model.joblib").write_bytes(b"a model")
    manifest = Manifest(
        model="m",
        version=VERSION,
        run_id="r",
        workload="mean",
        parameters={"alpha": 1, "beta": 1.0},
        features=[FeatureSpec("weekday", "int64", "day", 0, 6)],
        metrics={"candidate": {"mae": 1}},
        metric_unit="units",
        holdout=Holdout("2026-01-01", "2026-01-09", 9, 9),
        watermark=Watermark(None, "2025-12-31", 1, 1, "d"),
        libraries={"python": "3.11"},
        serving_form=ServingForm("scikit-learn"),
        golden_tolerance=1e-6,
        promotion=Promotion(0, "first"),
        trained_at=datetime(2026, 1, 1, tzinfo=UTC),
        files=described(directory),
    )
    (directory / MANIFEST_NAME).write_bytes(encode(sign(manifest, key)))
    return directory


def check(directory: Path, key: SigningKey, model: str = "m") -> Manifest:
    return verify(directory, key.verify_key, model=model, version=VERSION).manifest


def test_what_was_signed_verifies_whatever_kind_of_number_it_holds(
    tmp_path: Path, key: SigningKey
) -> None:
    """A whole number in a field of floats must not break the signature on its way through JSON."""
    found = check(write_version(tmp_path / VERSION, key), key)

    assert found.parameters == {"alpha": 1, "beta": 1.0}
    assert found.features[0].high == 6


def test_a_manifest_with_fields_of_another_release_still_verifies(
    tmp_path: Path, key: SigningKey
) -> None:
    """An upgrade, or going back from one, must not quarantine every version there is."""
    directory = write_version(tmp_path / VERSION, key)
    path = directory / MANIFEST_NAME
    fields = msgspec.json.decode(path.read_bytes())
    del fields["signature"]
    fields["added_by_a_later_release"] = {"x": 1}
    del fields["runs_since_full"]  # as an earlier release wrote it
    signed = key.sign(msgspec.json.encode(fields, order="deterministic"))
    fields["signature"] = {"key_id": key.key_id, "ed25519": base64.b64encode(signed).decode()}
    path.write_bytes(msgspec.json.encode(fields))

    assert check(directory, key).runs_since_full == 0


@pytest.mark.parametrize("name", ["reason", "mae", "alpha", "sha256"])
def test_a_changed_word_anywhere_breaks_the_signature(
    tmp_path: Path, key: SigningKey, name: str
) -> None:
    """Nobody who can write the directory may change what a version says of itself."""
    directory = write_version(tmp_path / VERSION, key)
    path = directory / MANIFEST_NAME
    changed = path.read_text().replace(f'"{name}": ', f'"{name}": 1', 1)
    if name in ("reason", "sha256"):
        changed = path.read_text().replace(f'"{name}": "', f'"{name}": "0', 1)
    path.write_text(changed)

    with pytest.raises(SignatureInvalid, match="not by the trusted key"):
        check(directory, key)


def test_another_key_is_not_trusted(tmp_path: Path, key: SigningKey) -> None:
    """A model from elsewhere is code from elsewhere."""
    directory = write_version(tmp_path / VERSION, SigningKey.read_or_create(tmp_path / "other"))

    with pytest.raises(SignatureInvalid):
        check(directory, key)


def test_a_version_under_a_wrong_name_is_refused(tmp_path: Path, key: SigningKey) -> None:
    """A signed version of one model must not be slipped in as another's."""
    with pytest.raises(ManifestInvalid, match="expected other"):
        check(write_version(tmp_path / VERSION, key), key, model="other")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: path.write_bytes(b"b model"), "SHA-256"),
        (lambda path: path.write_bytes(b"a model and more"), "16 bytes, expected 7"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_a_damaged_file_is_named_with_what_was_expected(
    tmp_path: Path, key: SigningKey, damage: Callable[[Path], object], sentence: str
) -> None:
    """Disks flip bits; the sentence must tell which file to look at."""
    directory = write_version(tmp_path / VERSION, key)
    damage(directory / "model.joblib")

    with pytest.raises(DigestMismatch, match=sentence) as refused:
        check(directory, key)

    assert "model.joblib" in str(refused.value)
