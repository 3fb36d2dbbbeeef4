"""API keys and signing keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature

from shared.errors import KeyUnusable
from shared.keys.api_keys import ApiKeys, Role, ensure_api_keys
from shared.keys.signing import SigningKey, VerifyKey


def test_what_was_signed_verifies_and_nothing_else_does(tmp_path: Path) -> None:
    """The API unpickles only what this key signed."""
    key = SigningKey.read_or_create(tmp_path)
    public = VerifyKey.read(tmp_path / "signing.pub")

    public.verify(key.sign(b"manifest"), b"manifest")

    with pytest.raises(InvalidSignature):
        public.verify(key.sign(b"manifest"), b"manifesto")


def test_the_signing_key_is_made_once_and_kept(tmp_path: Path) -> None:
    """A new key at every start would quarantine every older version."""
    first = SigningKey.read_or_create(tmp_path)
    again = SigningKey.read_or_create(tmp_path)

    assert first.key_id == again.key_id


def test_a_public_key_that_was_lost_comes_back(tmp_path: Path) -> None:
    """It follows from the private one, so a restart heals it."""
    key = SigningKey.read_or_create(tmp_path)
    (tmp_path / "signing.pub").unlink()

    SigningKey.read_or_create(tmp_path)

    assert VerifyKey.read(tmp_path / "signing.pub").key_id == key.key_id


def test_a_broken_key_file_is_named_and_never_overwritten(tmp_path: Path) -> None:
    """Overwriting it would throw away the key that all versions were signed with."""
    (tmp_path / "signing.key").write_text("not a key")

    with pytest.raises(KeyUnusable, match=r"signing\.key: expected an Ed25519 private key"):
        SigningKey.read_or_create(tmp_path)

    assert (tmp_path / "signing.key").read_text() == "not a key"


def test_a_missing_public_key_says_who_writes_it(tmp_path: Path) -> None:
    """The API may be started first."""
    with pytest.raises(KeyUnusable, match="the retrain daemon writes it at its first start"):
        VerifyKey.read(tmp_path / "signing.pub")


def test_every_role_gets_a_key_of_its_own(tmp_path: Path) -> None:
    """A client that may predict must not be able to roll back."""
    made = ensure_api_keys(tmp_path)
    keys = ApiKeys.read(tmp_path)

    assert {path.stem for path in made} == set(Role)
    for role in Role:
        presented = (tmp_path / f"{role}.key").read_text().strip()
        assert keys.role_of(presented) is role
    assert keys.role_of("hotfit_admin_guess") is None
    assert ensure_api_keys(tmp_path) == []


def test_key_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """Other users of the machine must not become admin by reading a file."""
    for path in ensure_api_keys(tmp_path):
        if os.name != "nt":
            assert path.stat().st_mode & 0o077 == 0


def test_old_and_new_key_overlap_while_clients_change_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotation without a moment in which nobody may predict."""
    monkeypatch.delenv("HOTFIT_API_KEY", raising=False)
    (tmp_path / "predict.key").write_text("old-key\nnew-key\n")

    keys = ApiKeys.read(tmp_path)

    assert keys.role_of("old-key") is Role.PREDICT
    assert keys.role_of("new-key") is Role.PREDICT


def test_the_key_from_the_environment_is_admin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers hand secrets over in the environment."""
    monkeypatch.setenv("HOTFIT_API_KEY", "from-environment")

    assert ApiKeys.read(tmp_path).role_of("from-environment") is Role.ADMIN


@pytest.mark.parametrize(
    ("given", "valid"),
    [
        ("HOTFIT_API_KEY NORDIQ_API_KEY TFT_API_KEY .nordiq_key", "HOTFIT_API_KEY"),
        ("NORDIQ_API_KEY TFT_API_KEY .nordiq_key", "NORDIQ_API_KEY"),
        ("TFT_API_KEY .nordiq_key", "TFT_API_KEY"),
        (".nordiq_key", ".nordiq_key"),
    ],
)
def test_keys_of_an_older_installation_count_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, valid: str
) -> None:
    """One of them is valid: a key that another one replaces must not open anything."""
    monkeypatch.chdir(tmp_path)
    names = ("HOTFIT_API_KEY", "NORDIQ_API_KEY", "TFT_API_KEY", ".nordiq_key")
    for name in names[:3]:
        monkeypatch.setenv(name, f"key of {name}" if name in given.split() else " ")
    if ".nordiq_key" in given:
        (tmp_path / ".nordiq_key").write_text("\ufeffkey of .nordiq_key\r\n", encoding="utf-8")

    keys = ApiKeys.read(tmp_path / "keys")

    assert [name for name in names if keys.role_of(f"key of {name}") is Role.ADMIN] == [valid]


def test_an_empty_key_file_of_an_older_installation_is_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty text must not be a key; what cannot be read is said."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOTFIT_API_KEY", "NORDIQ_API_KEY", "TFT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".nordiq_key").write_text(" \n")

    assert len(ApiKeys.read(tmp_path / "keys")) == 0
    (tmp_path / ".nordiq_key").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KeyUnusable, match="nordiq_key"):
        ApiKeys.read(tmp_path / "keys")
