"""What a public repository says of itself to whoever looks for images: texts, badges and a logo.

The texts are Markdown of strangers and are kept as they came; whoever shows them has to make them harmless. The logo is
served to browsers from where people log in, so it has to be one of the raster formats, told by its first bytes, and
never a document that a browser could run (SVG, HTML). Architectures and systems that nobody knows are kept and answered
as well: Terraform compares them with what it said. It is whoever shows them as badges who leaves them out.

Source: Amazon ECR Public API reference, ``RepositoryCatalogDataInput``; user guide, "Repository catalog data".
"""

import msgspec

from protocol.errors import ParameterInvalid

LOGOS = "/logos/"
"""What the path of a logo begins with; behind it the name of the repository inside."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF87a", 0, "image/gif"),
    (b"GIF89a", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
)
_RIFF = b"RIFF"  # What a WebP file begins with, before its length.


class Logo(msgspec.Struct, frozen=True):
    """A picture that was looked at."""

    data: bytes
    media_type: str


class CatalogEntry(msgspec.Struct, frozen=True):
    """All that a repository says; what is ``None`` was not said."""

    description: str | None = None
    architectures: tuple[str, ...] = ()
    operating_systems: tuple[str, ...] = ()
    about: str | None = None
    usage: str | None = None
    logo: Logo | None = None


def logo(data: bytes) -> Logo:
    """Return *data* as a logo, or raise ``ParameterInvalid`` where it is no PNG, JPEG, GIF or WebP."""
    for magic, at, media_type in _MAGIC:
        if data[at : at + len(magic)] == magic and (not at or data.startswith(_RIFF)):
            return Logo(data, media_type)
    raise ParameterInvalid(
        "Invalid parameter at 'logoImageBlob' failed to satisfy constraint: 'must be a PNG, JPEG, GIF or WebP image'"
    )
