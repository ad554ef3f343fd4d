"""The keys that sign what webhooks are told: sealed where they lie, each for the webhook that it is of."""

import msgspec

from node.registry.registry import Registry
from protocol.auth.secret import Secret, StoredSecret, in_force
from protocol.errors import Damaged, RuleInvalid

_LABEL = "webhooks"
_SEALED, _PLAIN = "sealed", "plain"


def sealed_secrets(registry: Registry, name: str, secrets: tuple[StoredSecret, ...]) -> tuple[StoredSecret, ...]:
    """Return the secrets of the webhook *name* as they are kept; those that are sealed already stay as they are."""
    return tuple(_sealed(registry, name, one) if one.scheme == _PLAIN else one for one in secrets)


def is_sealed(secrets: tuple[StoredSecret, ...]) -> bool:
    """Whether none is kept as it is, as early versions did."""
    return all(one.scheme != _PLAIN for one in secrets)


def signing_keys(registry: Registry, name: str, secrets: tuple[StoredSecret, ...]) -> tuple[bytes, ...]:
    """Return the keys that sign what the webhook *name* is told now, the newest first.

    Raises:
        RuleInvalid: one does not open, as after a restore without the node's keys; rotating it helps.
    """
    try:
        return tuple(_unsealed(registry, name, one) for one in in_force(secrets, registry.now()))
    except Damaged:
        raise RuleInvalid(
            f"a secret of the webhook {name} was sealed under keys that are not here: entrepot webhook rotate {name}"
        ) from None


def _sealed(registry: Registry, name: str, one: StoredSecret) -> StoredSecret:
    sealed = registry.vault.seal(_LABEL, one.secret.value, _place(name))
    return msgspec.structs.replace(one, scheme=_SEALED, secret=Secret(sealed))


def _unsealed(registry: Registry, name: str, one: StoredSecret) -> bytes:
    if one.scheme == _PLAIN:
        return one.secret.value
    if one.scheme != _SEALED:
        raise Damaged("a secret that is sealed in a way that this version does not know")
    return registry.vault.unseal(_LABEL, one.secret.value, _place(name))


def _place(name: str) -> str:
    return f"webhook/{name}"
