"""Render the console's templates, with the security headers and conditional answers of each page.

Templates are read at the first page and kept. Nothing in a page is loaded from elsewhere, no
script or style stands in it: the policy in the headers would refuse them.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Request
from flask import Response as Page
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from werkzeug import Response

from api_service.console import formatting
from api_service.console.views.home import model_url
from api_service.web.public_path import public_path

_FOLDER = Path(__file__).parent
STATIC = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(formatting, name)
        for name in (
            *("figure", "size", "percent", "moment", "when", "ago", "duration"),
            *("short_version", "short_run", "main_metric"),
        )
    }
    environment.globals |= {
        "change": formatting.change,
        "model_url": model_url,
        "public_path": public_path,
        "quote": quote,
        "static": static_url,
    }
    return environment


@cache
def static_file(name: str) -> tuple[bytes, str]:
    """The bytes of a file of the console and the beginning of their digest."""
    content = (_FOLDER / "static" / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def static_url(name: str) -> str:
    """With the digest, so that a browser may keep it for ever."""
    return public_path(f"/console/static/{name}?v={static_file(name)[1]}")


def page(request: Request, template: str, code: int = 200, **view: Any) -> Response:
    """A page; 304 when the browser has this very one."""
    html = _environment().get_template(template).render(path=_here(request), **view)
    response = Page(html, code, mimetype="text/html")
    return finish(request, response)


def _here(request: Request) -> str:
    """The page to come back to after signing in."""
    return request.full_path.rstrip("?") if request.method == "GET" else "/"


def finish(request: Request, response: Response) -> Response:
    """The headers that every answer of the console has."""
    response.headers.update(HEADERS)
    response.headers["Cache-Control"] = "no-cache, private"
    response.headers["Vary"] = "Cookie, Accept"
    if response.status_code == 200:
        response.add_etag()
        response.make_conditional(request)
    return response
