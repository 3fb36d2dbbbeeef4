"""The signed manifest of a version: its run, scores, columns and the digests of its files.

Knows how to sign, read and check a manifest and the files it names; never opens a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import (
    DigestMismatch,
    ManifestInvalid,
    StorageUnavailable,
)
from shared.exchange.bounded_json import decode_bounded
from shared.keys.signature import Signature, check_signature, signature_of
from shared.keys.signing import SigningKey, VerifyKey
from shared.plain_file import FileRefused, read_plain
from shared.versions.version_files import COMPILED_NAME as COMPILED_NAME
from shared.versions.version_files import FileEntry as FileEntry
from shared.versions.version_files import VersionFiles
from shared.workloads.rows import FeatureSpec

FORMAT = 1
MANIFEST_NAME = "manifest.json"
MODEL_NAME = "model.joblib"
TWIN_NAME = "twin.joblib"
"""The estimator that was judged, where another one serves: same recipe, without the newest rows.
It is compared with later candidates, and never served."""
BASELINE = "baseline"
"""The candidate of a version that is the workload's naive baseline."""
GOLDEN_NAME = "golden.json"
MOST_BYTES = 16_000_000
IN_PROCESS = "pickle"
"""The serving form of an estimator that has no other: the API unpickles it."""


class Holdout(msgspec.Struct, frozen=True):
    """The newest time slice that the metrics were measured on; both days inclusive, UTC."""

    first_day: str
    last_day: str
    n_rows: int
    n_days: int


class Watermark(msgspec.Struct, frozen=True):
    """What data the version knows.

    newest_record_at : `updated_at` of the newest record in the snapshot, UTC.
    trained_until : last day whose rows the served estimator was fitted on; the state may know
        more.
    high_seq : the buffer's sequence number up to which records were seen.
    """

    newest_record_at: datetime | None
    trained_until: str
    n_records: int
    high_seq: int
    snapshot_digest: str


class ServingForm(msgspec.Struct, frozen=True):
    """The form that serves, how far it is from scikit-learn, and why others were refused.

    form : numpy, treelite, onnx, scikit-learn (a process of its own) or IN_PROCESS. how : which
        way of making it; "numpy, folded" has the preprocessing in the weights. differs : a
        sentence where it differs on numbers that hardly any client sends, such as 1e20.
    max_abs_difference : on the rows that were compared; of a regressor in the target's unit, of
        a classifier in probability. tolerance_absolute in the same unit.
    latency_us : one row, in the training process. refused : way -> why it was not taken.
    """

    form: str
    max_abs_difference: float | None = None
    latency_us: float | None = None
    refused: dict[str, str] = {}
    tolerance_relative: float | None = None
    tolerance_absolute: float | None = None
    rows_checked: int | None = None
    how: str | None = None
    differs: str | None = None


class Promotion(msgspec.Struct, frozen=True):
    """Why the version was promoted, and against which generation that was decided.

    anchor : the best version so far, which later candidates must not fall behind by much; it may
        be this version itself. None in manifests that do not know of anchors. Retention must
        keep it as long as this version is kept.
    """

    base_generation: int
    reason: str
    anchor: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """See the module docstring. Times are UTC; errors of a regressor are in `metric_unit`.

    runs_since_full : how often the estimator was continued since it was trained from scratch.
    candidate : which of the workload's candidates it is; "default" where there is one.
    judged_until : the judged estimator was fitted on rows until then, and judged on later ones.
    fitted_until : the served estimator was fitted on rows until then. The same as `judged_until`
        where the judged estimator serves itself; then there is no TWIN_NAME.
    Manifests of before say neither; read from the disk, they have the end of `trained_until`.
    """

    format: int = FORMAT
    model: str
    version: str
    run_id: str
    workload: str
    parameters: dict[str, Any]
    features: list[FeatureSpec]
    metrics: dict[str, dict[str, float]]
    metric_unit: str
    holdout: Holdout
    watermark: Watermark
    libraries: dict[str, str]
    serving_form: ServingForm
    golden_tolerance: float
    promotion: Promotion
    trained_at: datetime
    runs_since_full: int = 0
    candidate: str = "default"
    judged_until: datetime | None = None
    fitted_until: datetime | None = None
    files: dict[str, FileEntry]
    signature: Signature | None = None

    @property
    def is_baseline(self) -> bool:
        return self.candidate == BASELINE

    @property
    def judged_day(self) -> str:
        """Last day whose rows the judged estimator was fitted on: those of later ones it has not
        seen."""
        until = self.judged_until
        return self.watermark.trained_until if until is None else str(until.date())


def end_of_day(day: str) -> datetime:
    """The last moment of a day ("2026-11-21"), UTC.

    Raises:
        ValueError: no such day.
    """
    return datetime.combine(date.fromisoformat(day), time.max, UTC)


def sign(manifest: Manifest, key: SigningKey) -> Manifest:
    """The same manifest with a signature over all the rest of it."""
    fields = msgspec.json.decode(msgspec.json.encode(manifest))
    return msgspec.structs.replace(manifest, signature=signature_of(fields, key))


def encode(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`, indented for people."""
    return (
        msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=2) + b"\n"
    )


def read_manifest(directory: Path) -> tuple[Manifest, str]:
    """Read a version's manifest without trusting it.

    Returns:
        The manifest and the SHA-256 of its bytes.

    Raises:
        ManifestInvalid: absent, not a manifest, or of another format number.
        StorageUnavailable: it is there but cannot be read now.
    """
    fields, digest = _read_fields(directory)
    return _to_manifest(directory, fields), digest


def _read_fields(directory: Path) -> tuple[Mapping[str, Any], str]:
    path = directory / MANIFEST_NAME
    try:
        content = read_plain(path, MOST_BYTES)
        fields = decode_bounded(content)
    except FileNotFoundError:
        raise ManifestInvalid(f"manifest of {directory.name}: {path} does not exist") from None
    except FileRefused as refused:
        raise ManifestInvalid(f"manifest of {directory.name}: {refused}") from None
    except OSError as error:  # a disk or rights that may come back: no fault of the version
        raise StorageUnavailable(
            f"manifest of {directory.name}: cannot be read: {error.strerror}."
        ) from None
    except msgspec.DecodeError as error:
        raise ManifestInvalid(f"manifest of {directory.name}: {error}") from None
    if not isinstance(fields, Mapping) or fields.get("format") != FORMAT:
        found = fields.get("format") if isinstance(fields, Mapping) else fields
        raise ManifestInvalid(
            f"manifest of {directory.name}: expected format {FORMAT}, found {found!r}"
        )
    return fields, hashlib.sha256(content).hexdigest()


def _to_manifest(directory: Path, fields: Mapping[str, Any]) -> Manifest:
    try:
        manifest = msgspec.convert(fields, Manifest)
    except msgspec.ValidationError as error:
        raise ManifestInvalid(f"manifest of {directory.name}: {error}") from None
    if manifest.fitted_until is not None:
        return manifest
    try:
        until = end_of_day(manifest.watermark.trained_until)
    except ValueError:  # nobody knows, and nothing that serves needs it
        return manifest
    return msgspec.structs.replace(manifest, judged_until=until, fitted_until=until)


@dataclass(frozen=True, slots=True)
class SignedVersion:
    """A manifest whose signature holds; `files` proves each file as it is read."""

    manifest: Manifest
    sha256: str
    files: VersionFiles


def verify(
    directory: Path,
    key: VerifyKey,
    *,
    model: str,
    version: str,
    manifest_sha256: str | None = None,
) -> SignedVersion:
    """Prove that a version directory is, at this moment, what the retrain daemon wrote.

    Who opens a file of it reads it through `read_signed`, which proves it at that moment.

    Raises: as `read_signed`, also for each file.
    """
    signed = read_signed(
        directory, key, model=model, version=version, manifest_sha256=manifest_sha256
    )
    signed.files.check()
    return signed


def read_signed(
    directory: Path,
    key: VerifyKey,
    *,
    model: str,
    version: str,
    manifest_sha256: str | None = None,
) -> SignedVersion:
    """Prove the manifest of a version; its files are proved when they are read.

    Args:
        manifest_sha256: what the reload signal says; None where no signal names this version.

    Raises:
        ManifestInvalid, SignatureInvalid, DigestMismatch: with expected, found and where.
        StorageUnavailable: a file is there but cannot be read now.
    """
    fields, digest = _read_fields(directory)
    manifest = _to_manifest(directory, fields)
    if manifest_sha256 is not None and digest != manifest_sha256:
        raise DigestMismatch(
            f"manifest of {version}: expected SHA-256 {manifest_sha256[:12]}… as the signal says,"
            f" found {digest[:12]}…"
        )
    check_signature(fields, manifest.signature, key, f"manifest of {version}")
    if (manifest.model, manifest.version) != (model, version):
        raise ManifestInvalid(
            f"manifest of {version}: expected {model} {version},"
            f" found {manifest.model} {manifest.version}"
        )
    return SignedVersion(manifest, digest, VersionFiles(directory, version, manifest.files))
