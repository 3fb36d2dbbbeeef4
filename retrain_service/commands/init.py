"""The command `init`: write a configuration for what could live on a database, and check it.

Reads only; a file that is there is written over only when told so.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from retrain_service.commands.check import check_models
from retrain_service.commands.options import fail, log_to_stderr
from retrain_service.commands.output import Output
from retrain_service.discovery.address import Address, read_address
from retrain_service.discovery.config_file import config_text
from retrain_service.discovery.model_plans import ModelPlan, plan_models
from retrain_service.sources.catalogue import Collection
from retrain_service.sources.http_place import kind_of_place
from retrain_service.sources.look import look_at
from shared.atomic_file import write_atomic
from shared.daemon.loop import utc_now
from shared.errors import FixConfiguration, HotfitError
from shared.settings.root import load_settings
from shared.settings.sections import SourceSettings


@click.command()
@click.option("--url", default="", help="address of the database or export, or a file or folder")
@click.option("--project", default="", help="Firestore: the project's id, instead of --url")
@click.option("--kind", default="", help="kind of source, where the address does not say it")
@click.option(
    "--api-key-env",
    default="",
    help="environment variable with the key of an export, of Elasticsearch or Prometheus",
)
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="the file to write; default: --config, else HOTFIT_CONFIG, else ./hotfit.toml",
)
@click.option("--force", is_flag=True, help="write over a file that is there")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
@click.pass_obj
def init(
    config: Path | None,
    url: str,
    project: str,
    kind: str,
    api_key_env: str,
    path: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Look at a database and write a hotfit.toml for it, then `check` it.

    Exit code: as of `check`; 2 when nothing was written.
    """
    out = Output(as_json=as_json)
    try:
        path = path or config or Path(os.environ.get("HOTFIT_CONFIG", "hotfit.toml"))
        if path.exists() and not force:
            raise FixConfiguration(
                f"{path} is there already; --force writes over it, --output names another file."
            )
        address = _address(url, project, kind, os.environ.get(api_key_env, ""))
        source = SourceSettings(
            kind=address.kind, url=address.url, project=project, api_key_env=api_key_env
        )
        collections, remarks = _collections(source)
        if not collections:
            raise FixConfiguration(
                " ".join(["there is no table, collection or list that could be read.", *remarks])
            )
        plans = plan_models(collections, address.kind)
        text = config_text(address, plans, collections, remarks, utc_now().date(), source)
        write_atomic(path, text.encode())
        _say(out, path, address, plans, collections)
        if address.has_secret:
            os.environ.setdefault(address.variable, address.url)
        settings = load_settings(path)
        log_to_stderr(settings)
        found: dict[str, Any] = {"file": str(path), "variable": _variable(address)}
        sys.exit(check_models(settings, out, beside=found))
    except HotfitError as error:
        fail(out, error)


def _address(url: str, project: str, kind: str, key: str) -> Address:
    if project and not url:
        return Address("firestore", "", "", "firestore")
    if not url:
        raise FixConfiguration("--url: expected the address of a database, or --project.")
    address = read_address(url, kind)
    if not kind and address.kind == "http_export":
        return read_address(url, kind_of_place(url, key))
    return address


def _collections(source: SourceSettings) -> tuple[list[Collection], list[str]]:
    catalogue = look_at(source)
    collections = list(catalogue.collections)
    if source.kind == "sql":
        from retrain_service.discovery.joins import joined_collections

        collections += joined_collections(catalogue, source)
    return collections, list(catalogue.remarks)


def _variable(address: Address) -> str | None:
    return address.variable if address.has_secret else None


def _say(
    out: Output,
    path: Path,
    address: Address,
    plans: list[ModelPlan],
    collections: list[Collection],
) -> None:
    tables = [each for each in collections if not each.query]
    out.say(f"looked at {len(tables)} collections in {address.shown or address.name}.")
    for plan in plans:
        if plan.why_not:
            out.say(f"  {plan.workload}: {plan.why_not}")
            continue
        on = ", ".join(dict.fromkeys(each.collection.name for each in plan.streams.values()))
        doubts = sum(len(each.doubts) for each in plan.streams.values())
        look = f"; {doubts} lines are worth a look" if doubts else ""
        out.say(f"  {plan.workload}: from {on}{look}")
    out.say(f"wrote {path}.")
    if address.has_secret:
        out.say(
            f"The password is not in it: set the environment variable {address.variable} to the"
            " whole address for the daemons."
        )
    out.say()
