"""Firestore documents as applications and import tools write them, each read by configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud import firestore

from tests.integration.cases.case_home import CaseHome
from tests.support.firestore_server import FirestoreServer

N = 60
NOW = datetime.now(UTC)
LINES = [{"name": "Oil filter", "quantity": 2}]
MODEL = """
[models.{name}]
workload = "spare_parts"
source = "fs"
[models.{name}.streams.appointments]
collection = "{name}"
{settings}
"""
SETTINGS = {
    "numbers": "",
    "texts": "",
    "seconds": "",
    "group": "collection_group = true",
    "spaces": 'updated_at_field = "updated at"',
    "dashes": 'updated_at_field = "meta.updated-at"',
    "wrapped": "",
    "references": """
[models.references.streams.appointments.fields]
sku = "spareParts[].part.id"
quantity = "spareParts[].quantity"
[models.references.streams.spare_parts.fields]
sku = "_id"
""",
}


def documents(kind: str, i: int, client: Any) -> tuple[str, dict[str, Any]]:
    """(path, fields) of the i-th appointment in one way of writing it."""
    at = NOW - timedelta(hours=14 * (N - i) + 1)
    plain = {"status": "completed", "date": at, "spareParts": LINES, "updated_at": at}
    match kind:
        case "numbers":
            plain["updated_at"] = int(at.timestamp() * 1000)
        case "seconds":
            plain["updated_at"] = at.timestamp()
        case "texts":
            plain["updated_at"] = at.isoformat()
        case "group":
            return f"shops/s{i % 4}/group/n{i // 4}", plain
        case "spaces":
            plain["updated at"] = plain.pop("updated_at")
        case "dashes":
            plain["meta"] = {"updated-at": plain.pop("updated_at")}
        case "wrapped":
            inner = {"_seconds": int(at.timestamp()), "_nanoseconds": 0}
            plain["date"] = {"__datatype__": "timestamp", "value": inner}
        case "references":
            part = client.document("spare_parts/p1")
            plain["spareParts"] = [{"part": part, "quantity": 2}]
    return f"{kind}/n{i}", plain


@pytest.fixture
def place(tmp_path: Path, firestore_server: FirestoreServer) -> CaseHome:
    client = firestore_server.client()
    batch = client.batch()
    part = {"name": "Oil filter", "sku": "OF-1", "updated_at": NOW - timedelta(days=90)}
    batch.set(client.document("spare_parts/p1"), part)
    for kind in SETTINGS:
        for i in range(N):
            path, fields = documents(kind, i, client)
            batch.set(client.document(path), fields)
        batch.commit()
        batch = client.batch()
    settings = '[sources.fs]\nkind = "firestore"\nproject = "demo"\nlag_s = 0\npage_size = 25\n'
    for name, own in SETTINGS.items():
        settings += MODEL.replace("{name}", name).replace("{settings}", own)
    return CaseHome(tmp_path, settings.replace("demo", client.project))


def test_each_way_of_writing_documents_is_read_whole(
    place: CaseHome, firestore_server: FirestoreServer
) -> None:
    """Times as numbers or texts, subcollections, references, odd names: no document is missed."""
    with firestore_server.meter.measured() as used:
        read = {name: place.read(name) for name in SETTINGS}

    assert {name: found.n_records["appointments"] for name, found in read.items()} == dict.fromkeys(
        SETTINGS, N
    )
    for name, found in read.items():
        assert found.n_usable == N, name
        assert set(found.rows.slices) == {"Oil filter"}, name
    assert sum(found.found.billed_today["fs"] for found in read.values()) == used.reads


def test_a_path_with_a_star_is_answered_with_the_lines_that_mean_it(
    tmp_path: Path, firestore_server: FirestoreServer
) -> None:
    """Firestore takes the star for the id of a document, and finds nothing."""
    assert firestore_server.client().project
    settings = '[sources.fs]\nkind = "firestore"\nproject = "demo"\n' + MODEL.replace(
        "{name}", "jobs"
    ).replace('collection = "jobs"', 'collection = "shops/*/jobs"').replace("{settings}", "")

    checked = CaseHome(tmp_path, settings).check()

    assert checked.code != 0
    assert 'collection = "jobs" and collection_group = true' in checked.everything


def test_documents_of_a_group_that_are_deleted_are_found_missing(
    place: CaseHome, firestore_server: FirestoreServer
) -> None:
    """Two shops may have a document of one id; only the one that is gone is missing."""
    from retrain_service.sources import open_source
    from shared.settings.sections import SourceSettings
    from shared.settings.streams import StreamSettings

    client: firestore.Client = firestore_server.client()
    client.document("shops/s1/group/n3").delete()
    stream = StreamSettings(collection="group", collection_group=True)
    source = open_source(SourceSettings(kind="firestore", project=client.project), stream)

    gone = source.missing([f"shops/s{i}/group/n3" for i in range(4)]).ids
    source.close()

    assert gone == {"shops/s1/group/n3"}
    assert place.database.parent.exists()
