"""Serve until TERM or INT: ``python -m tests.support.firestore_server --port 8681``.

The first line on standard output is ``FIRESTORE_EMULATOR_HOST=<host>``; once it is there, clients
may connect. The last line is what would have been billed, as JSON.
"""

import argparse
import json
import signal
import threading
from dataclasses import asdict

from .server import FirestoreServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.firestore_server")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--project", default="demo-project")
    arguments = parser.parse_args()
    is_told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: is_told_to_stop.set())
    with FirestoreServer(port=arguments.port, project=arguments.project) as server:
        print(f"FIRESTORE_EMULATOR_HOST={server.host}", flush=True)
        is_told_to_stop.wait()
        print(json.dumps(asdict(server.meter.total)), flush=True)


if __name__ == "__main__":
    main()
