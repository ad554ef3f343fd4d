"""Signing on push: what is to be signed is kept and answered exactly; nothing is signed by this version yet."""

from collections.abc import Mapping
from typing import Any

import msgspec

from node.registry.documents import GROUP, SET, SIGNING, document, put_document, take_document
from node.registry.imageids import ImageId, find_image
from node.registry.registers import register
from node.registry.registry import Registry
from protocol.auth.caller import Act, Caller
from protocol.errors import SigningUnknown
from protocol.oci.names import RepositoryName
from protocol.rules.signing import SigningConfiguration, profiles_for, signing_configuration

FAILURE = "SigningNotSupported"
REASON = "This version keeps the signing configuration and signs nothing yet"

_decode = msgspec.json.Decoder(SigningConfiguration).decode


async def put_signing(registry: Registry, caller: Caller, given: Mapping[str, Any]) -> SigningConfiguration:
    """Replace the signing configuration by what a call gives.

    Raises:
        Denied: without ``ecr:PutSigningConfiguration``.
        ValidationFailed: it names what this registry cannot sign with.
    """
    registry.authorize(caller, "ecr:PutSigningConfiguration", None)
    configuration = signing_configuration(given, registry.name.region)
    text = msgspec.json.encode(configuration).decode()
    await put_document(registry, Act(caller, "ecr:PutSigningConfiguration"), SIGNING, text)
    return configuration


def get_signing(registry: Registry, caller: Caller) -> SigningConfiguration:
    """Return the signing configuration.

    Raises:
        Denied: without ``ecr:GetSigningConfiguration``.
        SigningUnknown: there is none.
    """
    registry.authorize(caller, "ecr:GetSigningConfiguration", None)
    with registry.store.meta.read() as txn:
        return _known(registry, document(registry, txn, SIGNING))


async def delete_signing(registry: Registry, caller: Caller) -> SigningConfiguration:
    """Delete the signing configuration, and return it.

    Raises:
        Denied: without ``ecr:DeleteSigningConfiguration``.
        SigningUnknown: there is none.
    """
    registry.authorize(caller, "ecr:DeleteSigningConfiguration", None)
    return _known(registry, await take_document(registry, Act(caller, "ecr:DeleteSigningConfiguration"), SIGNING))


def unsigned_profiles(registry: Registry, caller: Caller, name: RepositoryName, wanted: ImageId) -> tuple[str, ...]:
    """Return the ARNs of the profiles by which an image was to be signed when it was pushed, and was not.

    Raises:
        Denied: without ``ecr:DescribeImageSigningStatus``.
        NameUnknown, ManifestUnknown: there is no such image.
    """
    registry.authorize(caller, "ecr:DescribeImageSigningStatus", name)
    with registry.store.meta.read() as txn:
        image = find_image(registry, txn, name, wanted).image
        fields = register(registry, txn, GROUP, SIGNING) or {}
        text, since = document(registry, txn, SIGNING), fields.get(SET)
    if text is None or image.value.subject is not None or image.value.pushed < (since if isinstance(since, int) else 0):
        return ()  # Pushed before there were rules; and signatures and the like are not signed.
    return profiles_for(_decode(text), name)


def _known(registry: Registry, text: str | None) -> SigningConfiguration:
    if text is None:
        raise SigningUnknown(f"Signing configuration does not exist in the registry with id '{registry.name.account}'")
    return _decode(text)
