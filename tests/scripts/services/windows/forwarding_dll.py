"""A Windows library of nothing but names that another library answers to.

wine 8 has no `bcryptprimitives.dll`, of which every module that a Rust compiler of 2024 or later
has made (pydantic, cryptography, granian) wants one function: random bytes, which `advapi32.dll`
gives as well. Real Windows has the library. Knows nothing of wine or Hotfit.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

_FILE_ALIGNMENT = 0x200
_SECTION_AT = 0x1000
_IMAGE_BASE = 0x180000000
_AMD64, _PE32_PLUS = 0x8664, 0x20B
_EXECUTABLE_LARGE_DLL = 0x0002 | 0x0020 | 0x2000
_DYNAMIC_BASE_NX = 0x0040 | 0x0100
_CONSOLE = 3
_READABLE_DATA = 0x40000040


def forwarding_dll(name: str, forwards: Mapping[str, str]) -> bytes:
    """The file of a 64-bit library `name`.

    Args:
        forwards: exported name -> "library.name" that answers instead, library without ".dll".
    """
    section = _exports(name, forwards)
    size = -(-len(section) // _FILE_ALIGNMENT) * _FILE_ALIGNMENT
    directories = [(0, 0)] * 16
    directories[0] = (_SECTION_AT, len(section))
    optional = struct.pack(
        "<HBBIIIII", _PE32_PLUS, 14, 0, 0, size, 0, 0, _SECTION_AT
    ) + struct.pack(
        "<QIIHHHHHHIIIIHHQQQQII",
        *(_IMAGE_BASE, 0x1000, _FILE_ALIGNMENT),
        *(6, 0, 0, 0, 6, 0, 0),  # versions: system, image, subsystem
        *(_SECTION_AT + 0x1000, _FILE_ALIGNMENT, 0),  # image, headers, checksum
        *(_CONSOLE, _DYNAMIC_BASE_NX),
        *(0x100000, 0x1000, 0x100000, 0x1000, 0, len(directories)),
    )
    optional += b"".join(struct.pack("<II", *each) for each in directories)
    headers = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    headers += b"PE\0\0" + struct.pack(
        "<HHIIIHH", _AMD64, 1, 0, 0, 0, len(optional), _EXECUTABLE_LARGE_DLL
    )
    headers += optional + struct.pack(
        "<8sIIIIIIHHI",
        *(b".edata", len(section), _SECTION_AT, size, _FILE_ALIGNMENT),
        *(0, 0, 0, 0, _READABLE_DATA),
    )
    return headers.ljust(_FILE_ALIGNMENT, b"\0") + section.ljust(size, b"\0")


def _exports(name: str, forwards: Mapping[str, str]) -> bytes:
    """The export table: an address that lies inside of it is read as the name of a forward."""
    names = sorted(forwards)
    n = len(names)
    functions_at, names_at, ordinals_at = 40, 40 + 4 * n, 40 + 8 * n
    strings, offsets = b"", []
    start = 40 + 10 * n
    for text in (name, *names, *(forwards[each] for each in names)):
        offsets.append(_SECTION_AT + start + len(strings))
        strings += text.encode("ascii") + b"\0"
    table = struct.pack(
        "<IIHHIIIIIII",
        *(0, 0, 0, 0, offsets[0], 1, n, n),
        *(_SECTION_AT + at for at in (functions_at, names_at, ordinals_at)),
    )
    table += struct.pack(f"<{n}I", *offsets[1 + n :])
    table += struct.pack(f"<{n}I", *offsets[1 : 1 + n])
    table += struct.pack(f"<{n}H", *range(n))
    return table + strings
