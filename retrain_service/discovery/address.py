"""Read the address of a place where data lives: its kind, its name, and what of it is secret.

Text only; nothing is connected to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from shared.errors import FixConfiguration

_KINDS = {
    "postgresql": "sql", "postgres": "sql", "mysql": "sql", "mariadb": "sql", "sqlite": "sql",
    "mongodb": "mongodb", "mongodb+srv": "mongodb", "http": "http_export", "https": "http_export",
}  # fmt: skip
_SECRETS = frozenset(
    ("password", "pwd", "api_key", "apikey", "key", "token", "access_token", "secret", "auth")
)
_DATABASE_FILES = (".db", ".sqlite", ".sqlite3", ".db3")
_TABLE_FILES = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson", ".csv.gz")


@dataclass(frozen=True, slots=True)
class Address:
    """kind : of source. url : as it is used. shown : without what is secret, for the file.

    name : of the [sources.…] section.
    """

    kind: str
    url: str
    shown: str
    name: str

    @property
    def has_secret(self) -> bool:
        return self.shown != self.url

    @property
    def variable(self) -> str:
        """The environment variable that the whole address is read from."""
        return f"HOTFIT_SOURCES__{self.name.upper()}__URL"


def read_address(text: str, kind: str = "") -> Address:
    """What an address, or the path of a file or folder, names.

    Raises:
        FixConfiguration: nobody can tell what kind of place it is.
    """
    path = Path(text)
    if "://" not in text and path.suffix.lower() in _DATABASE_FILES:
        text = f"sqlite:///{path.as_posix()}"
    elif "://" not in text and (path.is_dir() or text.lower().endswith(_TABLE_FILES)):
        return Address(kind or "files", text, text, _name_of(path.stem))
    parts = urlsplit(text)
    scheme = parts.scheme.partition("+")[0] if parts.scheme != "mongodb+srv" else parts.scheme
    found = kind or _KINDS.get(scheme, "")
    if not found:
        # Not the text itself: it may hold a password.
        raise FixConfiguration(
            "--url: expected postgresql://…, mysql://…, sqlite:///file.db, mongodb://…/DATABASE,"
            " https://… (an export, Elasticsearch or Prometheus), or a file; found something that"
            f" begins {scheme[:12]!r}."
        )
    shown = _without_secrets(text)
    host = (parts.hostname or "").split(".")[0]
    name = host if scheme in ("http", "https") else Path(parts.path).stem
    return Address(found, text, shown, _name_of(name))


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}{at}{host}"
    query = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in query if name.lower() not in _SECRETS]
    if netloc == parts.netloc and kept == query:
        return url
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(kept)))


def _name_of(text: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return name if re.fullmatch(r"[a-z][a-z0-9_]*", name) else "data"
