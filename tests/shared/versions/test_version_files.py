"""What somebody who can write the directory of versions may lay, exchange or link there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from shared.errors import DigestMismatch, ManifestInvalid, VersionUnusable
from shared.plain_file import FileRefused, KnownFile, read_plain
from shared.versions.manifest import (
    MANIFEST_NAME,
    MOST_BYTES,
    encode,
    read_manifest,
    read_signed,
    sign,
)
from shared.versions.version_files import FileEntry, VersionFiles
from tests.support.versions import ServingHome, described


@pytest.fixture
def home(tmp_path: Path) -> ServingHome:
    return ServingHome(tmp_path)


def _signed(home: ServingHome, version: str) -> VersionFiles:
    directory = home.store.version_dir("m", version)
    return read_signed(directory, home.key.verify_key, model="m", version=version).files


def test_a_file_that_is_exchanged_after_it_was_verified_is_not_read(home: ServingHome) -> None:
    """Verified and opened were two reads: whoever was quick in between had code run."""
    files = _signed(home, home.make("m", 1))
    files.check()
    path = files.directory / "model.joblib"
    path.write_bytes(bytes(path.stat().st_size))

    with pytest.raises(DigestMismatch, match=r"model\.joblib has SHA-256"):
        files.read("model.joblib")


def test_the_copy_that_a_library_reads_is_nobody_elses(home: ServingHome) -> None:
    """Treelite opens a path itself: that of a copy that was hashed while it was made."""
    files = _signed(home, home.make("m", 1))
    path = files.directory / "compiled" / "form.json"
    before = path.read_bytes()

    with files.compiled_copy("form.json") as copy:
        path.write_bytes(bytes(len(before)))

        assert copy.read_bytes() == before
        if os.name != "nt":
            assert copy.parent.stat().st_mode & 0o077 == 0
    assert not copy.exists()
    with pytest.raises(DigestMismatch), files.compiled_copy("form.json"):
        pass


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.skipif(os.name == "nt", reason="has no named pipes in folders")
@pytest.mark.parametrize("lay", [_link, _pipe])
@pytest.mark.parametrize("name", [MANIFEST_NAME, "model.joblib", "compiled/form.json"])
def test_a_link_or_a_pipe_is_refused_at_once(
    home: ServingHome, name: str, lay: Callable[[Path], None]
) -> None:
    """A pipe that nobody writes to stopped both daemons for ever, with no word."""
    version = home.make("m", 1)
    lay(home.store.version_dir("m", version) / name)

    with pytest.raises(VersionUnusable, match="not a regular file"):
        _signed(home, version).check()


def test_a_name_that_leads_out_of_the_version_is_refused_though_all_of_it_is_true(
    home: ServingHome,
) -> None:
    """The digest holds and the signature too; still, a version is one directory."""
    version = home.make("m", 1)
    directory = home.store.version_dir("m", version)
    (directory.parent / "outside").write_bytes(b"content")
    entry = described(directory.parent)["outside"]
    manifest = read_manifest(directory)[0]
    for name in ("../outside", str(directory.parent / "outside"), "compiled/../../outside"):
        files = {**manifest.files, name: entry}
        changed = msgspec.structs.replace(manifest, files=files, signature=None)
        (directory / MANIFEST_NAME).write_bytes(encode(sign(changed, home.key)))

        with pytest.raises(ManifestInvalid, match="lies outside the version"):
            _signed(home, version).check()


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_folder_of_a_version_is_no_link(home: ServingHome) -> None:
    """Else every name below it would lead out of the version."""
    version = home.make("m", 1)
    compiled = home.store.version_dir("m", version) / "compiled"
    compiled.rename(compiled.parent.parent / "elsewhere")
    compiled.symlink_to("../elsewhere")

    with pytest.raises(ManifestInvalid, match="lies outside the version"):
        _signed(home, version).check()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"format": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper than"),
        (b'{"format": ' + b"[" * 200 + b"]" * 200 + b"}", "nested deeper than"),
        (b" " * (MOST_BYTES + 1), "is larger than"),
    ],
)
def test_a_manifest_that_nobody_could_have_written_is_refused(
    home: ServingHome, content: bytes, sentence: str
) -> None:
    """One that was nested deeply was answered with status 500, a large one read whole."""
    version = home.make("m", 1)
    (home.store.version_dir("m", version) / MANIFEST_NAME).write_bytes(content)

    with pytest.raises(ManifestInvalid, match=sentence):
        home.store.manifest("m", version)


def test_a_file_that_grows_while_it_is_read_is_read_no_further(tmp_path: Path) -> None:
    """Else whoever appends to it fast enough keeps the reader for ever."""
    (tmp_path / "f").write_bytes(b"12345678")

    with pytest.raises(FileRefused, match="larger than 7 bytes"):
        read_plain(tmp_path / "f", 7)
    with pytest.raises(FileRefused, match="8 bytes, expected 7"):
        KnownFile(tmp_path / "f", "0" * 64, 7).check()
    assert read_plain(tmp_path / "f", 8) == b"12345678"


def test_a_file_that_the_manifest_does_not_name_is_not_read(home: ServingHome) -> None:
    """What nobody signed is not part of the version, whatever lies there."""
    files = VersionFiles(home.path, "v", {"known": FileEntry("0" * 64, 1)})

    with pytest.raises(DigestMismatch, match="missing in the manifest"):
        files.read("state.json")
