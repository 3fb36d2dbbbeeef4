"""The commands `keys …`: list, create, rotate and revoke API keys; replace the signing key."""

from __future__ import annotations

import click

from retrain_service.commands.options import with_options
from retrain_service.commands.output import Output
from shared.daemon.one_instance import only_instance
from shared.keys.api_keys import Role, add_key, key_id_of, list_keys, revoke_key, rotate_keys
from shared.keys.signing import SigningKey
from shared.settings.root import Settings

_ROLE = click.argument("role", type=click.Choice([role.value for role in Role]))


@click.group()
def keys() -> None:
    """API keys. The API sees a change within seconds, without a restart."""


@keys.command("list")
@with_options
def list_(settings: Settings, out: Output) -> None:
    """Roles and ids; the secrets stay in their files."""
    found = list_keys(settings.keys_dir)
    out.document(
        {
            "keys": [{"role": key.role, "id": key.key_id, "file": str(key.path)} for key in found],
            "total": len(found),
        }
    )
    out.table(("role", "id", "file"), [(key.role, key.key_id, key.path) for key in found])


@keys.command()
@_ROLE
@with_options
def create(settings: Settings, out: Output, role: str) -> None:
    """Add a key of ROLE beside those that are valid, and show it once."""
    _made(out, Role(role), add_key(settings.keys_dir, Role(role)), "beside the others")


@keys.command()
@_ROLE
@with_options
def rotate(settings: Settings, out: Output, role: str) -> None:
    """Replace all keys of ROLE by a new one, shown once; the old ones stop at once."""
    _made(out, Role(role), rotate_keys(settings.keys_dir, Role(role)), "alone; all others are gone")


@keys.command()
@click.argument("key_id", metavar="ID")
@with_options
def revoke(settings: Settings, out: Output, key_id: str) -> None:
    """Take back the key with this ID, as `keys list` shows it."""
    key = revoke_key(settings.keys_dir, key_id)
    out.say(f"{key.role} key {key.key_id} is no longer valid.")
    out.document({"role": key.role, "id": key.key_id, "revoked": True})


@keys.command("new-signing-key")
@click.confirmation_option(prompt="Every version there is can then be served no more. Go on?")
@with_options
def new_signing_key(settings: Settings, out: Output) -> None:
    """Sign versions with a new key from now on, where the old one is lost or was seen.

    While the retrain daemon stands. No version that is there can be opened any more; each model is
    trained again at its start.
    """
    with only_instance(settings.pids_dir, "retrain_service"):
        key = SigningKey.create(settings.keys_dir)
    out.say(f"signing key {key.key_id} made; start the retrain daemon.")
    out.document({"id": key.key_id})


def _made(out: Output, role: Role, secret: str, how: str) -> None:
    out.say(secret)
    out.complain(f"retrain_service: a new {role} key {key_id_of(secret)}, valid {how}.")
    out.document({"role": role, "id": key_id_of(secret), "key": secret})
