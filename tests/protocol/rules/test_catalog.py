"""A logo is one of four raster formats by its first bytes."""

import pytest

from protocol.errors import ParameterInvalid
from protocol.rules.catalog import logo

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0" + bytes(8), "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a<script>alert(1)</script>", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
    ],
)
def test_is_a_logo(data: bytes, media_type: str) -> None:
    assert (logo(data).data, logo(data).media_type) == (data, media_type)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"\xef\xbb\xbf<svg/>",
        b"<!DOCTYPE html>",
        b" " + PNG,
        b"\x89PNG",
        b"GIF88a",
        b"BM\0\0",
        b"%PDF-1.7",
        b"RIFF\x10\0\0\0WAVE",
        b"<svg>..\0WEBP",
        b"\0\0\1\0",
        b"\xff\xd8",
    ],
)
def test_is_no_logo(data: bytes) -> None:
    with pytest.raises(ParameterInvalid, match="logoImageBlob"):
        logo(data)
