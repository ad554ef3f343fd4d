"""The node's master key, as the registry may have it rotated."""

from functools import partial

from node.peers.identity import Identity, begin_master_rotation, end_master_rotation
from node.registry.keyring import Masters


def masters_of(identity: Identity) -> Masters:
    """Return how *identity* has its master key drawn anew, and the old one destroyed."""
    given = identity.folder, identity.registry, identity.registry_key
    return Masters(partial(begin_master_rotation, *given), partial(end_master_rotation, *given))
