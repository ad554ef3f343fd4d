"""Issuers that an operator trusts to say who somebody is: GitHub, a Kubernetes cluster, a company's sign-in.

A register of the group ``issuer`` by its name, the URL without its scheme. Its fields:

    url, created (ms), description
    audiences    JSON list: whom its tokens have to be made for
    allow        JSON list of addresses and networks that may be dialled for it although they are not public
    authority    certificates in PEM that it is verified by, instead of the system's
    keys         its keys, where it cannot be asked: a JSON Web Key Set
    endpoints    JSON list of URLs elsewhere that its configuration may name
    client, client-secret (sealed, in base64): as whom we exchange codes of people who log in

To trust an issuer lets nobody in: roles do, by their trust policies.
"""

import base64
import json
from collections.abc import Mapping, Sequence

import msgspec

from node.registry.commit import commit_rules
from node.registry.registers import register, register_put, registers
from node.registry.registry import Registry
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.jwks import read_keys
from protocol.auth.secret import Secret
from protocol.auth.trust import issuer_arn, issuer_name
from protocol.errors import IdentityTokenInvalid, LimitExceeded, ParameterInvalid, PrincipalUnknown
from protocol.rules.outbound import MAX_ALLOWED, Network, allowed_network, require_dialable, target
from protocol.sync.entries import Setting

GROUP = "issuer"
MAX_ISSUERS = 100
MAX_AUDIENCES = 100
_LONGEST = 255  # Characters of an audience, and of an issuer's name.
_MAX_TEXT = 32 * 1024  # Characters of certificates, and of keys.
_SECRETS = "issuers"


class Issuer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One issuer, as people put it and see it; its secret is never shown."""

    url: str  # Exactly as tokens name it.
    audiences: tuple[str, ...]
    description: str = ""
    allow: tuple[str, ...] = ()
    authority: str = ""
    keys: str = ""
    endpoints: tuple[str, ...] = ()
    client: str = ""
    created: int = 0  # Milliseconds since 1970.

    @property
    def name(self) -> str:
        """What ARNs and condition keys call it."""
        return issuer_name(self.url)

    @property
    def networks(self) -> tuple[Network, ...]:
        """What may be dialled for it although it is not public."""
        return tuple(allowed_network(text) for text in self.allow)

    @property
    def allows_http(self) -> bool:
        """Whether it is asked without TLS."""
        return self.url.startswith("http://")


async def put_issuer(
    registry: Registry, caller: Caller, issuer: Issuer, *, secret: Secret | None = None, allow_http: bool = False
) -> Issuer:
    """Trust an issuer, or change what is said of it; without *secret* it keeps the one that it has.

    Raises:
        Denied: without ``iam:CreateOpenIDConnectProvider``.
        ParameterInvalid, RuleInvalid: something given is not what it has to be.
        LimitExceeded: there are too many.
    """
    action = "iam:CreateOpenIDConnectProvider"
    registry.authorize(caller, action, issuer_arn(registry.name.account, issuer.url[:_LONGEST]))
    _check(issuer, allow_http=allow_http)
    fields: dict[str, Setting] = {
        "url": issuer.url,
        "audiences": json.dumps(issuer.audiences),
        "description": issuer.description or None,
        "allow": json.dumps(issuer.allow) if issuer.allow else None,
        "authority": issuer.authority or None,
        "keys": issuer.keys or None,
        "endpoints": json.dumps(issuer.endpoints) if issuer.endpoints else None,
        "client": issuer.client or None,
    }
    if secret is not None:
        sealed = registry.vault.seal(_SECRETS, secret.value, f"{GROUP}/{issuer.name}")
        fields["client-secret"] = base64.b64encode(sealed).decode() if secret.value else None
    act = Act(caller, action, issuer.name)

    def run(txn: WriteTxn) -> int:
        found = register(registry, txn, GROUP, issuer.name)
        if found is None and len(registers(registry, txn, GROUP, limit=MAX_ISSUERS)) >= MAX_ISSUERS:
            raise LimitExceeded(f"{MAX_ISSUERS} issuers are trusted; take one away first")
        created = _created(found or {}) or int(registry.now() * 1000)
        entry = register_put(registry, txn, act, GROUP, issuer.name, fields | {"created": created})
        commit_rules(registry, txn, act, lambda _dot, _hlc: [entry])
        return created

    created = await registry.store.writer.write(run)
    registry.changes.notify()
    return msgspec.structs.replace(issuer, created=created)


async def delete_issuer(registry: Registry, caller: Caller, name: str) -> None:
    """Trust an issuer no longer; sessions that its tokens opened end by themselves.

    Raises:
        Denied: without ``iam:DeleteOpenIDConnectProvider``.
        PrincipalUnknown: there is none of this name.
    """
    action, name = "iam:DeleteOpenIDConnectProvider", issuer_name(name) or name
    registry.authorize(caller, action, issuer_arn(registry.name.account, f"://{name}"[:_LONGEST]))
    act = Act(caller, action, name[:_LONGEST])

    def run(txn: WriteTxn) -> None:
        found = register(registry, txn, GROUP, name) if len(name) <= _LONGEST else None
        if found is None:
            raise PrincipalUnknown(f"there is no issuer {name[:128]}")
        entry = register_put(registry, txn, act, GROUP, name, dict.fromkeys(found))
        commit_rules(registry, txn, act, lambda _dot, _hlc: [entry])

    await registry.store.writer.write(run)
    registry.changes.notify()


def list_issuers(registry: Registry, caller: Caller) -> list[Issuer]:
    """Return the issuers that are trusted, by name; ``Denied`` without ``iam:ListOpenIDConnectProviders``."""
    registry.authorize(caller, "iam:ListOpenIDConnectProviders", None)
    with registry.store.meta.read() as txn:
        return list(read_issuers(registry, txn).values())


def read_issuers(registry: Registry, txn: ReadTxn) -> dict[str, Issuer]:
    """Return the issuers that are trusted, by their URLs."""
    found = (_issuer(fields) for _, fields in registers(registry, txn, GROUP, limit=MAX_ISSUERS))
    return {one.url: one for one in found}


def client_secret(registry: Registry, issuer: Issuer) -> str:
    """Return the secret by which we exchange codes at *issuer*, empty where it has none."""
    with registry.store.meta.read() as txn:
        sealed = (register(registry, txn, GROUP, issuer.name) or {}).get("client-secret")
    if not isinstance(sealed, str):
        return ""
    return registry.vault.unseal(_SECRETS, base64.b64decode(sealed), f"{GROUP}/{issuer.name}").decode()


def _check(issuer: Issuer, *, allow_http: bool) -> None:
    to = target(issuer.url, allow_http=allow_http)
    if len(issuer.name) > _LONGEST or "?" in issuer.url:
        raise ParameterInvalid(f"the URL of an issuer has at most {_LONGEST} characters and no query")
    if not 0 < len(issuer.audiences) <= MAX_AUDIENCES or not all(0 < len(one) <= _LONGEST for one in issuer.audiences):
        raise ParameterInvalid(
            f"an issuer has 1 to {MAX_AUDIENCES} audiences of up to {_LONGEST} characters: whom its tokens are made for"
        )
    if len(issuer.allow) > MAX_ALLOWED or len(issuer.endpoints) > MAX_ALLOWED:
        raise ParameterInvalid(f"at most {MAX_ALLOWED} addresses and URLs can be allowed")
    require_dialable(to, issuer.networks)
    for url in issuer.endpoints:
        target(url, allow_http=allow_http)
    if max(len(issuer.authority), len(issuer.keys)) > _MAX_TEXT or len(issuer.description) > 1000:
        raise ParameterInvalid(f"keys and certificates have at most {_MAX_TEXT} characters, a description 1000")
    if issuer.keys:
        _check_keys(issuer.keys)


def _check_keys(text: str) -> None:
    try:
        keys = read_keys(text.encode())
    except IdentityTokenInvalid as error:
        raise ParameterInvalid(f"the keys are no JSON Web Key Set: {error}") from None
    if not keys:
        raise ParameterInvalid("the JSON Web Key Set has no key for RS256, ES256 or EdDSA")


def _issuer(fields: Mapping[str, Setting]) -> Issuer:
    def text(name: str) -> str:
        return str(fields.get(name, ""))

    return Issuer(
        text("url"),
        _list(text("audiences")),
        text("description"),
        _list(text("allow")),
        text("authority"),
        text("keys"),
        _list(text("endpoints")),
        text("client"),
        _created(fields),
    )


def _list(text: str) -> tuple[str, ...]:
    found: Sequence[object] = json.loads(text) if text else []
    return tuple(map(str, found))


def _created(fields: Mapping[str, Setting]) -> int:
    created = fields.get("created")
    return created if isinstance(created, int) else 0
