"""A real registry in a directory of its own, with peers that are functions."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.api.admin.activity import Activity
from node.api.admin.answer import Admin
from node.api.admin.control import (
    AuthorityShown,
    BackupControl,
    InvitationAsked,
    Invited,
    NodeControl,
    PeerControl,
    PeerSeen,
    Reloaded,
    TrustAsked,
    TrustedAccount,
)
from node.daemon.doctor.checks import Check, ok
from node.registry.backup.layout import Certificates
from node.registry.backup.source import Who
from node.registry.deliveries import Post, Told
from node.registry.keyring import Keyring
from node.registry.registry import Author, Registry, Resource, Settings
from node.registry.transit import Transits
from node.registry.vault import Vault
from node.store.keyfiles import KeyFiles
from node.store.store import open_store
from node.telemetry.alarms import Alarms
from protocol.auth.caller import Caller
from protocol.auth.conditions import Keys
from protocol.auth.names import Account, Region, RegistryName
from protocol.errors import Denied, ParameterInvalid, ReloadRefused
from protocol.events.queue import Delivered, Refused
from protocol.events.request import WebhookRequest
from protocol.events.webhook import Webhook
from protocol.oci.names import RepositoryName
from protocol.sync.clock import Clock

ACCOUNT = Account("111111111111")
NAME = RegistryName(ACCOUNT, Region("eu-west-1"))
FORBIDDEN = RepositoryName("forbidden/app")


def authorize(_caller: Caller, action: str, name: Resource, _keys: Keys) -> None:
    if name == FORBIDDEN:
        raise Denied(f"{action} on {name}")


def peer_control() -> PeerControl:
    trusted: dict[str, TrustedAccount] = {}

    async def invite(asked: InvitationAsked) -> Invited:
        return Invited("token", asked.region or NAME.region, 60.0)

    async def trust_add(asked: TrustAsked) -> TrustedAccount:
        trusted[asked.account] = TrustedAccount(asked.account, (asked.certificate,), asked.addresses)
        return trusted[asked.account]

    async def trust_remove(account: str) -> None:
        if trusted.pop(account, None) is None:
            raise ParameterInvalid(f"account {account} is not trusted")

    return PeerControl(
        invite=invite,
        authority=lambda: AuthorityShown(ACCOUNT, "ab", "PEM"),
        trust_add=trust_add,
        trust_list=lambda: list(trusted.values()),
        trust_remove=trust_remove,
        peers=lambda: [PeerSeen("abcdefghijklmnop", str(NAME), ("127.0.0.1:6002",), "up", 60.0)],
    )


def node_control() -> NodeControl:
    async def reload() -> Reloaded:
        raise ReloadRefused("nothing was changed: listen.address: no")

    def activity(_caller: Caller) -> Activity:
        raise Denied("not here")

    async def examine() -> list[Check]:
        return [ok("disk", "room", "enough")]

    return NodeControl(reload, activity, examine)


def backup_control() -> BackupControl:
    who = Who(str(NAME), "abcdefghijklmnop", bytes(16), "entrepot 1.2.3", Certificates(b"PEM", b"PEM"))
    return BackupControl(who, lambda _: bytes(64), lambda: {"node.key": b"secret"})


@asynccontextmanager
async def connect(webhook: Webhook) -> AsyncIterator[Post]:
    """A receiver that takes whatever is sent to /ok, and refuses the rest."""

    async def post(request: WebhookRequest) -> Told:
        if webhook.target.path.startswith("/ok") and dict(request.headers)["webhook-signature"]:
            return Told(Delivered(), 200, "thanks")
        return Told(Refused("status 403", is_lasting=True), 403, "who are you?")

    yield post


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    (tmp_path / "data").mkdir()
    async with open_store(tmp_path / "data", map_size=2**26, reserve=0) as store:
        registry = Registry(
            name=NAME,
            store=store,
            author=Author("abcdefghijklmnop", bytes(16), lambda _: bytes(64), Clock()),
            vault=Vault(bytes(32), os.urandom),
            keyring=Keyring(KeyFiles(store.path / "keys"), [bytes(32)], os.urandom),
            policies=authorize,
            settings=Settings(missing_content="allow"),
            now=lambda: 1_800_000_000.0,
            random=os.urandom,
            transits=Transits(store, lambda: 1_800_000_000.0),
            alarms=Alarms(lambda: 1_800_000_000.0),
        )
        yield Admin(registry, peer_control(), node_control(), backup_control(), connect, "1.2.3")
