"""Small texts of files: what editors do to them is undone, and nothing large is taken into memory."""

import gzip
import io
import os

import pytest

from tallybook.imports.file_bytes import Foreign, text_bytes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_text_is_utf8_whatever_an_editor_wrote(encoding: str) -> None:
    text = '{"user_id": "женя"}\r\n'
    assert text_bytes(io.BytesIO(text.encode(encoding)), 100) == text.encode()


def test_other_bytes_stay_as_they_are() -> None:
    block = b"tev1\x02\x00\x00\x00\xff\xfe" + bytes(range(256))
    assert text_bytes(io.BytesIO(block), 1000) == block
    assert text_bytes(io.BytesIO(b""), 1000) == b""


def test_what_is_too_large_or_another_kind_is_one_error() -> None:
    for data, reason in (
        (b"x" * 101, "more than 100 bytes"),
        (gzip.compress(b"{}"), "gzip"),
        ("{}".encode("utf-32"), "UTF-32"),
        (b"\xff\xfe{\x00}", "UTF-16"),
    ):
        with pytest.raises(Foreign, match=reason):
            text_bytes(io.BytesIO(data), 100)
    with open(os.devnull, "rb") as empty, open("/dev/zero", "rb") as endless:
        assert text_bytes(empty, 100) == b""
        with pytest.raises(Foreign, match="more than"):
            text_bytes(endless, 100)
