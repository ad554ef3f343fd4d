"""URLs from which a layer can be fetched by whoever has them, for an hour.

Whoever asks for one was allowed to have the layer; the URL says which layer it is, of which repository, until when, and
carries a code over that by a key that the nodes of the registry share. It is no more than that: a layer that the
repository has no more cannot be fetched by it.
"""

from base64 import urlsafe_b64encode
from hmac import compare_digest

from blake3 import blake3

from node.registry.blobs import find_blob, is_sound
from node.registry.elsewhere import OpenBlob
from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.storage import is_archived_layer
from protocol.auth.caller import Caller, root_of
from protocol.auth.public import told
from protocol.errors import BlobUnknown, Damaged, LayerInaccessible, SignatureExpired, SignatureInvalid
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName
from protocol.oci.reference import percent_encoded

LIFETIME = 3600  # Seconds.
_LABEL = "downloads of layers"


async def download_of_layer(registry: Registry, caller: Caller, name: RepositoryName, digest: Digest) -> str:
    """Return path and query of a URL for a layer that an image of the repository names.

    Raises:
        Denied: without ``ecr:GetDownloadUrlForLayer``.
        NameUnknown, BlobUnknown: there is none.
        LayerInaccessible: it is here, and no image names it.
    """
    registry.authorize(caller, "ecr:GetDownloadUrlForLayer", name)
    meta = registry.store.meta
    with meta.read() as txn:
        row = meta.repositories.get(txn, name)
        link = None if row is None else meta.blobs.link(txn, row.number, digest)
        copy = digest if row is None else meta.blobs.copy(txn, row.number, digest)
        blob = meta.blobs.get(txn, copy) if link is not None and link.seen else None
        is_here = blob is not None and is_sound(registry, txn, copy, blob)
        is_archived = row is not None and is_archived_layer(registry, txn, name, row.number, digest)
    if is_archived:
        raise LayerInaccessible(f"Layer with digest '{digest}' is of archived images of '{told(name)}' alone")
    if link is not None and is_here and not link.names:
        raise LayerInaccessible(f"Layer with digest '{digest}' is not accessible: no image of '{told(name)}' names it")
    if not is_here:
        other = await registry.elsewhere.blob(registry, caller, name, digest)
        if other is None:
            with meta.read() as txn:
                repository(registry, txn, name)
            raise BlobUnknown(
                f"Layer with digest '{digest}' does not exist in the repository with name '{told(name)}' "
                f"in the registry with id '{registry.name.account}'"
            )
        other.release()
    expires = str(int(registry.now()) + LIFETIME)
    signature = _signature(registry, name, digest, expires)
    return f"/download/{name}/{percent_encoded(digest)}?expires={expires}&signature={signature}"


async def open_download(
    registry: Registry, name: RepositoryName, digest: Digest, *, expires: str, signature: str, address: str
) -> OpenBlob:
    """Return the layer of a URL; the caller releases it. *address* is where the client is.

    Raises:
        SignatureInvalid: the URL is none of ``download_of_layer``.
        SignatureExpired: its time is over.
        BlobUnknown: the repository has the layer no more.
        Damaged: its bytes are known to be bad.
    """
    if not compare_digest(signature.encode(), _signature(registry, name, digest, expires).encode()):
        raise SignatureInvalid("this URL was not given by this registry; ask for one anew")
    if int(expires) < registry.now():
        raise SignatureExpired("the time of this URL is over; ask for one anew")
    damage: Damaged | None = None
    try:
        found = find_blob(registry, name, digest)
    except Damaged as error:
        found, damage = None, error
        registry.repairs.hurry()
    if found is None:  # On its way from where it is pulled through, which was begun for whoever asked for the URL.
        bearer = Caller(root_of(registry.name.account), registry.name.account, address)
        found = await registry.elsewhere.blob(registry, bearer, name, digest)
    if found is None:
        raise damage or BlobUnknown(f"no blob {digest} in {name}")
    return registry.readings.watched(found, "download", name, digest, address)


def _signature(registry: Registry, name: RepositoryName, digest: Digest, expires: str) -> str:
    text = f"{name}\0{digest}\0{expires}".encode()
    return urlsafe_b64encode(blake3(text, key=registry.vault.derive(_LABEL)).digest()).decode().rstrip("=")
