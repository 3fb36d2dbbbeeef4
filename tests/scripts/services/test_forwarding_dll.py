"""The library that the Windows suite lays beside wine's own."""

from __future__ import annotations

import struct

from tests.scripts.services.windows.forwarding_dll import forwarding_dll


def test_every_name_leads_to_the_name_in_the_other_library() -> None:
    """A wrong offset would show only as "module not found" in the middle of a long suite."""
    forwards = {"Second": "other.Two", "First": "other.One"}

    content = forwarding_dll("ours.dll", forwards)

    assert content[:2] == b"MZ"
    header = struct.unpack_from("<I", content, 0x3C)[0]
    assert content[header : header + 4] == b"PE\0\0"
    at = struct.unpack_from("<I", content, header + 24 + 112)[0]  # the first data directory

    def text(address: int) -> str:
        start = 0x200 + address - at
        return content[start : content.index(b"\0", start)].decode()

    fields = struct.unpack_from("<IIHHIIIIIII", content, 0x200)
    name_at, n, functions_at, names_at, ordinals_at = (fields[i] for i in (4, 7, 8, 9, 10))
    assert text(name_at) == "ours.dll"
    names = struct.unpack_from(f"<{n}I", content, 0x200 + names_at - at)
    functions = struct.unpack_from(f"<{n}I", content, 0x200 + functions_at - at)
    ordinals = struct.unpack_from(f"<{n}H", content, 0x200 + ordinals_at - at)
    found = {text(name): text(functions[i]) for name, i in zip(names, ordinals, strict=True)}
    assert found == forwards
    assert list(map(text, names)) == sorted(forwards)  # the loader searches by halves
