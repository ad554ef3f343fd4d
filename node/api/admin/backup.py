"""What `entrepot backup` reads of a running node: short pages of msgpack, and the bytes of large blobs."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from node.api.admin.answer import Admin, read_body
from node.http.message import Extent, Piece, Pieces, Request, Response
from node.registry.backup.layout import is_message
from node.registry.backup.running import (
    fix_ending,
    hash_sealed,
    note_backup,
    open_large,
    read_contents,
    read_keys,
    read_record,
    read_records,
    read_rows,
    start_backup,
)
from node.registry.elsewhere import OpenBlob
from protocol.auth.caller import Caller
from protocol.errors import ParameterInvalid
from protocol.oci.reference import single

_MSGPACK = (("content-type", "application/msgpack"),)


async def get_start(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/backup``: who the node is, and how far."""
    return _packed(start_backup(admin.registry, caller, admin.backup.who))


async def get_record(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/backup/record?position=``."""
    return _packed(read_record(admin.registry, caller, _number(request, "position")))


async def get_records(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/backup/records?after=&last=``: a page."""
    return _packed(read_records(admin.registry, caller, _number(request, "after"), _number(request, "last")))


async def get_rows(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/backup/rows/<table>?after=<key in hexadecimal>``: a page."""
    try:
        after = bytes.fromhex(single("after", request.parameters("after")) or "")
    except ValueError as error:
        raise ParameterInvalid("after is no key") from error
    return _packed(read_rows(admin.registry, caller, request.params["table"], after))


async def post_ending(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``POST /admin/v1/backup/ending``: fix the last record."""
    return _packed(await fix_ending(admin.registry, caller))


async def post_contents(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/backup/contents``: small blobs by their digests in short form."""
    try:
        digests = msgspec.msgpack.decode(await read_body(request), type=list[bytes])
    except msgspec.MsgspecError as error:
        raise ParameterInvalid(f"the list of digests is none: {error}") from error
    return _packed(read_contents(admin.registry, caller, digests))


async def get_blob(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/backup/blobs/<digest>?start=``: the bytes from there on; broken off where one is damaged."""
    blob = open_large(admin.registry, caller, request.params["digest"])
    start = _number(request, "start")
    if start > blob.size:
        blob.release()
        raise ParameterInvalid(f"start is beyond {blob.size} bytes")
    pieces = Pieces(_pieces(blob, start), blob.size - start, blob.release)
    return Response(200, (("content-type", "application/octet-stream"),), pieces)


async def get_sealed(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/backup/sealed/<copy>``: the BLAKE3 and the length of a large one that is sealed."""
    return _packed(await hash_sealed(admin.registry, caller, request.params["digest"]))


async def get_keys(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/backup/keys``: the files with wrapped keys, by name."""
    return _packed(read_keys(admin.registry, caller))


async def post_signature(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/backup/signature``: the node's signature under a manifest whose hash is the body.

    It is the last that a backup asks for.
    """
    admin.registry.authorize(caller, "entrepot:Backup", None)
    text = await read_body(request)
    if not is_message(text):
        raise ParameterInvalid("this is no manifest of a backup, and nothing else is signed here")
    signature = admin.backup.sign(text)
    await note_backup(admin.registry, caller)
    return _packed(signature)


async def get_identity(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/backup/identity``: the files with the node's keys, by name."""
    admin.registry.authorize(caller, "entrepot:BackupIdentity", None)
    return _packed(admin.backup.identity())


async def _pieces(blob: OpenBlob, start: int) -> AsyncIterator[Piece]:
    if start < blob.size:
        async for one in blob.read(start, blob.size - start):
            if isinstance(one, bytes):
                yield one
            else:
                yield Extent(blob.fd, one.offset, one.length, is_resident=True, is_followed=one.is_followed)


def _packed(value: Any) -> Response:  # noqa: ANN401 - structs, or anything made of msgpack's types.
    return Response(200, _MSGPACK, msgspec.msgpack.encode(value))


def _number(request: Request, name: str) -> int:
    text = single(name, request.parameters(name)) or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ParameterInvalid(f"{name} is not a number")
    return int(text)
