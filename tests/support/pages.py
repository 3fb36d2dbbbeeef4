"""The documentation as data: sections, tables, quoted names, anchors; and the code's sentences.

Knows no test and no rule; paths of pages come from here alone.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def section(path: Path, heading: str) -> str:
    """The text below a heading, up to the next one of its level."""
    level, _, _ = heading.partition(" ")
    found = re.search(
        rf"^{re.escape(heading)}$\n(.*?)(?=^#{{1,{len(level)}}} |\Z)",
        text_of(path),
        re.MULTILINE | re.DOTALL,
    )
    assert found, f"{page_name(path)} has no heading {heading!r}"
    return found[1]


def table_rows(text: str) -> list[list[str]]:
    """The cells of every table row but the heads."""
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    rules = [i for i, row in enumerate(rows) if set("".join(row)) <= set("- ")]
    return [row for i, row in enumerate(rows) if i not in rules and i + 1 not in rules]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def first_column(path: Path, heading: str) -> set[str]:
    return {name for row in table_rows(section(path, heading)) for name in quoted(row[0])}


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@cache
def sentences() -> str:
    """Every text in the code, one a line; what is filled in at run time is …"""
    found = []
    for package in ("shared", "retrain_service", "api_service", "scripts"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = (
                        str(part.value) if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    )
                    found.append("".join(parts))
    return "\n".join(" ".join(text.split()) for text in found)
