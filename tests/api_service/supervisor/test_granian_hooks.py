"""The server library is built on inside; a release of it that is another inside is refused."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import granian.server.mp
import pytest

from api_service.supervisor import granian_hooks
from shared.errors import FixConfiguration


def test_the_installed_granian_has_all_that_we_build_on() -> None:
    """Its public interface has no such places."""
    granian_hooks.require_hooks(granian.server.mp)

    assert "_wsgi_call_wrap(callback, scope_opts, log_access_fmt)" in inspect.getsource(
        granian.server.mp
    )


@pytest.mark.parametrize("gone", ["_wsgi_call_wrap", "MPServer._spawn_worker"])
def test_a_granian_that_has_changed_inside_is_refused_with_a_sentence(gone: str) -> None:
    """Else its workers would answer, but not by one thread at a time."""
    real: Any = granian.server.mp
    server = {name: None for name in dir(real.MPServer) if f"MPServer.{name}" != gone}
    module = SimpleNamespace(MPServer=SimpleNamespace(**server))
    if gone != "_wsgi_call_wrap":
        module._wsgi_call_wrap = real._wsgi_call_wrap

    with pytest.raises(FixConfiguration, match=f"without {gone}: nothing is served"):
        granian_hooks.require_hooks(module)
