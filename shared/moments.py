"""Cut times of RFC 3339 to the microsecond. They are never rounded into the next second, day or month.

msgspec rounds them. So what reads times of others reads them with `TimedDecoder`, or cuts the texts with `cut`.
"""

import re
from typing import Generic, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

_T = TypeVar("_T", bound=Struct)

#: What a time has that is finer, and numbers as well: it is found much faster than the whole.
_SEVEN = re.compile(rb"\.[0-9]{7}")
_FINER = re.compile(rb":[0-9]{2}\.[0-9]{7}")
#: The digits behind the sixth.
_REST = re.compile(r"(?<=:[0-9]{2}\.[0-9]{6})[0-9]+")
#: Characters of the longest time with six such digits and `Z`.
_SHORT = len("2026-03-01T23:59:59.999999Z")


def cut(text: str) -> str:
    """Return the text of a time, to the microsecond."""
    return _REST.sub("", text) if len(text) > _SHORT else text


def _may_be_finer(value: bytes | msgspec.Raw) -> bool:
    text = value if isinstance(value, bytes) else bytes(value)
    if b"\\" in text and b"\\u00" in text:  # a character of the time
        return True
    return _SEVEN.search(text) is not None and _FINER.search(text) is not None


class TimedDecoder(Generic[_T]):
    """Decode JSON of a type with a time in one of its fields. Every method raises what those of msgspec raise."""

    def __init__(self, of: type[_T], field: str) -> None:
        [info] = [one for one in msgspec.structs.fields(of) if one.name == field]
        text = msgspec.defstruct("text", [("at", str | UnsetType, UNSET)], rename={"at": info.encode_name}, gc=False)
        self._field, self._of = field, info.type
        self._one, self._all = msgspec.json.Decoder(of), msgspec.json.Decoder(list[of])  # type: ignore[valid-type]
        self._text, self._texts = msgspec.json.Decoder(text), msgspec.json.Decoder(list[text])  # type: ignore[valid-type]

    def decode(self, value: bytes | msgspec.Raw) -> _T:
        """Decode one object."""
        one = self._one.decode(value)
        if _may_be_finer(value):
            self._cut(one, self._text.decode(value))
        return one

    def decode_list(self, value: bytes) -> list[_T]:
        """Decode an array of objects."""
        found: list[_T] = self._all.decode(value)
        if _may_be_finer(value):
            for one, text in zip(found, self._texts.decode(value), strict=True):
                self._cut(one, text)
        return found

    def decode_lines(self, value: bytes) -> list[_T]:
        """Decode objects one behind another."""
        found = self._one.decode_lines(value)
        if _may_be_finer(value):
            for one, text in zip(found, self._text.decode_lines(value), strict=True):
                self._cut(one, text)
        return found

    def _cut(self, one: _T, text: Struct) -> None:
        at = text.at  # type: ignore[attr-defined]
        if at is not UNSET and len(at) > _SHORT:
            setattr(one, self._field, msgspec.convert(cut(at), self._of))
