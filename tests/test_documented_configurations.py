"""The TOML blocks of the documentation are configurations that work as they stand."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.settings.root import load_settings
from shared.workloads import open_workload
from tests.support.firestore_server import FirestoreServer
from tests.support.pages import PAGES, ROOT, page_name, text_of

README, SHAPES = ROOT / "README.md", ROOT / "docs" / "data-shapes.md"


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_toml_blocks_are_configurations(path: Path, tmp_path: Path) -> None:
    """Copied from the page, they start; a part of one does so beside the rest."""
    for block in re.findall(r"^```toml\n(.*?)^```$", text_of(path), re.MULTILINE | re.DOTALL):
        rest = "".join(
            f'\n[models.{name}]\nworkload = "spare_parts"\nsource = "rest"\n'
            for name, model in tomllib.loads(block).get("models", {}).items()
            if "workload" not in model
        )
        source = '\n[sources.rest]\nkind = "sql"\nurl = "sqlite:///rest.db"\n'
        file = tmp_path / "hotfit.toml"
        file.write_text(block + (rest + source if rest else ""), encoding="utf-8")

        settings = load_settings(file)

        for model in settings.models.values():
            workload = open_workload(model.workload, model.parameters)
            assert set(model.streams) <= {stream.name for stream in workload.streams}


def check(block: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m retrain_service check` on a configuration of a page."""
    (folder / "hotfit.toml").write_text(block, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "retrain_service", "check"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOTFIT_CONFIG": "hotfit.toml", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_readmes_firestore_configuration_works(
    tmp_path: Path, firestore_server: FirestoreServer
) -> None:
    """As it stands, against a server that speaks Firestore."""
    block = toml_block(README, 'kind = "firestore"')
    client = firestore_server.client("my-project")
    for name, document in (
        ("appointments", {"status": "completed", "date": "2025-11-26", "spareParts": ["Belt"]}),
        ("spare_parts", {"name": "Belt"}),
    ):
        client.collection(name).add({**document, "updated_at": datetime.now(UTC)})

    done = check(block, tmp_path, **firestore_server.environ)

    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("1 records") == 2
    assert done.stdout.count("looked at all 1: 1 usable") == 2
    assert "would not start: not enough data" in done.stdout


def test_the_readmes_sql_configuration_works_with_the_documented_tables(tmp_path: Path) -> None:
    """As it stands, on tables made as the page says."""
    block = toml_block(README, "workshop.db")
    (tables,) = re.findall(r"^```sql\n(.*?)^```$", text_of(SHAPES), re.MULTILINE | re.DOTALL)
    with closing(sqlite3.connect(tmp_path / "workshop.db")) as database, database:
        database.executescript(tables)
        database.execute(
            "INSERT INTO appointments VALUES"
            """ ('a', 'completed', '2025-11-26', '["Belt"]', '2025-11-26T10:00:00Z')"""
        )

    done = check(block, tmp_path)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "appointments in source workshop: 1 records" in done.stdout
    assert "looked at all 1: 1 usable" in done.stdout
    assert "would not start: not enough data" in done.stdout


def toml_block(path: Path, line: str) -> str:
    blocks = re.findall(r"^```toml\n(.*?)^```$", text_of(path), re.MULTILINE | re.DOTALL)
    return next(str(block) for block in blocks if line in block)
