"""Sets trust objects with Thunderbird's own NSS, on copies of its databases: ``python -m archipec_thunderbird.nss.worker``.

A process of its own, because NSS can be initialised once in a process and a crash in it must harm nothing else. Reads one JSON
object on stdin, so that the password is in no list of processes; what goes wrong is said on stderr, with exit code 1,
or 6 for a wrong password. `nss.native` is its only caller.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_int, c_ubyte, c_uint, c_ulong, c_void_p
from pathlib import Path
from typing import Any, Final

# No list of further modules and no built-in roots (they are inside another library of Thunderbird's).
_NO_MODULES, _NO_ROOTS, _SMALL = 4, 16, 32
_GENERIC: Final = 0  # PK11_TypeGeneric
_CLASS, _ISSUER, _SERIAL = 0x0, 0x81, 0x82
_WRONG_PASSWORD = 6
# Attributes that are numbers: four bytes, big end first, in the database, CK_ULONG in the interface.
_BYTES: Final = frozenset(
    {0x1, 0x2, 0x3, 0x81, 0x82, 0x170, 0x635, 0xCE536360, 0xCE5363B4, 0xCE5363B5}
)  # token, private, label, issuer, serial, modifiable, hashes, step-up


class _Item(ctypes.Structure):
    """SECItem."""

    _fields_ = (("type", c_uint), ("data", POINTER(c_ubyte)), ("length", c_uint))


class _Attribute(ctypes.Structure):
    """CK_ATTRIBUTE."""

    if sys.platform == "win32":
        _pack_ = 1
        _layout_ = "ms"
    _fields_ = (("type", c_ulong), ("value", c_void_p), ("length", c_ulong))


class _Failed(Exception):
    """NSS refused; the text says what."""


class Nss:
    """Thunderbird's NSS on a folder with cert9.db and key4.db.

    Args:
        libraries: what to load, in this order.
    """

    def __init__(self, libraries: list[str], folder: str) -> None:
        if sys.platform == "win32":
            os.add_dll_directory(str(Path(libraries[-1]).parent))
        for path in libraries[:-1]:
            ctypes.CDLL(path)
        self._nss = ctypes.CDLL(libraries[-1])
        for name, result, arguments in _PROTOTYPES:
            function = getattr(self._nss, name)
            function.restype, function.argtypes = result, arguments
        flags = _NO_MODULES | _NO_ROOTS | _SMALL
        self._check(
            self._nss.NSS_Initialize(f"sql:{folder}".encode(), b"", b"", b"secmod.db", flags),
            "NSS_Initialize",
        )
        self._slot = self._nss.PK11_GetInternalKeySlot()

    def log_in(self, password: str) -> None:
        """Give the primary password; exits with 6 when it is wrong."""
        if self._nss.PK11_NeedUserInit(self._slot):
            self._check(self._nss.PK11_InitPin(self._slot, None, b""), "PK11_InitPin")
        if self._nss.PK11_NeedLogin(self._slot) and self._nss.PK11_CheckUserPassword(
            self._slot, password.encode()
        ):
            sys.exit(_WRONG_PASSWORD)

    def set(self, whole: dict[int, bytes], changed: dict[int, bytes]) -> None:
        """Change attributes of the trust object with this class, issuer and serial; make it if there is none."""
        for found in self._objects(int.from_bytes(whole[_CLASS], "big")):
            if all(self._read(found, attribute) == whole[attribute] for attribute in (_ISSUER, _SERIAL)):
                for attribute, value in changed.items():
                    data = _native(attribute, value)
                    item = _Item(0, (c_ubyte * len(data)).from_buffer_copy(data), len(data))
                    written = self._nss.PK11_WriteRawAttribute(_GENERIC, found, attribute, byref(item))
                    self._check(written, "PK11_WriteRawAttribute")
                return
        values = {attribute: _native(attribute, value) for attribute, value in whole.items()}
        template = (_Attribute * len(values))()
        for slot, (attribute, value) in zip(template, values.items(), strict=True):
            slot.type, slot.length = attribute, len(value)
            slot.value = ctypes.cast(c_char_p(value), c_void_p)
        if not self._nss.PK11_CreateManagedGenericObject(self._slot, template, len(values), 1):
            self._check(-1, "PK11_CreateManagedGenericObject")

    def _objects(self, object_class: int) -> Iterator[int]:
        found = self._nss.PK11_FindGenericObjects(self._slot, object_class)
        while found:
            yield found
            found = self._nss.PK11_GetNextGenericObject(found)

    def _read(self, found: int, attribute: int) -> bytes | None:
        item = _Item()
        if self._nss.PK11_ReadRawAttribute(_GENERIC, found, attribute, byref(item)):
            return None
        return ctypes.string_at(item.data, item.length)

    def _check(self, result: int, what: str) -> None:
        if result:
            raise _Failed(f"{what} failed with error {self._nss.PORT_GetError()}")


_PROTOTYPES: Final[tuple[tuple[str, Any, list[Any]], ...]] = (
    ("NSS_Initialize", c_int, [c_char_p, c_char_p, c_char_p, c_char_p, c_uint]),
    ("PORT_GetError", c_int, []),
    ("PK11_GetInternalKeySlot", c_void_p, []),
    ("PK11_NeedUserInit", c_int, [c_void_p]),
    ("PK11_InitPin", c_int, [c_void_p, c_char_p, c_char_p]),
    ("PK11_NeedLogin", c_int, [c_void_p]),
    ("PK11_CheckUserPassword", c_int, [c_void_p, c_char_p]),
    ("PK11_FindGenericObjects", c_void_p, [c_void_p, c_ulong]),
    ("PK11_GetNextGenericObject", c_void_p, [c_void_p]),
    ("PK11_ReadRawAttribute", c_int, [c_int, c_void_p, c_ulong, POINTER(_Item)]),
    ("PK11_WriteRawAttribute", c_int, [c_int, c_void_p, c_ulong, POINTER(_Item)]),
    ("PK11_CreateManagedGenericObject", c_void_p, [c_void_p, POINTER(_Attribute), c_int, c_int]),
)


def _native(attribute: int, value: bytes) -> bytes:
    if attribute not in _BYTES:
        return bytes(c_ulong(int.from_bytes(value, "big")))
    return b"" if value == b"\xa5\x00\x5a" else value


def _main() -> None:
    task = json.load(sys.stdin)
    try:
        nss = Nss(task["libraries"], task["folder"])
        nss.log_in(task["password"])
        for one in task["objects"]:
            whole, changed = (
                {int(name[1:], 16): bytes.fromhex(value) for name, value in one[part].items()}
                for part in ("whole", "changed")
            )
            nss.set(whole, changed)
    except (_Failed, OSError, AttributeError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    _main()
