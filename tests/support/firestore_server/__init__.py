"""An in-memory Firestore that speaks the real protocol, so that tests can use the real client.

    with FirestoreServer() as server:
        client = server.client()
        client.collection("parts").add({"name": "belt"})
        assert server.meter.writes == 1

Built from the published contract of Cloud Firestore in Native mode, Standard edition. Not part of
it: composite indexes (every query is served), security rules, vector search, pipelines, query
explain, and the Write stream. A method that is not there answers UNIMPLEMENTED.
"""

from .faults import Fault, Faults
from .late_commits import HeldCommits, PendingCommit
from .meter import Meter, Usage
from .server import FirestoreServer

__all__ = [
    "Fault",
    "Faults",
    "FirestoreServer",
    "HeldCommits",
    "Meter",
    "PendingCommit",
    "Usage",
]
