"""A name and a password: an access key with its secret, or a user with the password of a person.

An unknown name takes as long as a wrong password. Passwords of people are hashed in threads, in turns, and one that was
right is remembered for a minute as a MAC under a key of this process, for docker knocks with each pull; for a day more
it goes before others that wait.
"""

import hashlib
import hmac
import re
from functools import partial

import trio

from node.registry.authentication.authorization import USER, authenticate_authorization_token
from node.registry.authentication.logins import Logins
from node.registry.authentication.subjects import Client, Subject, caller_of_subject, subject_of_principal
from node.registry.authentication.turns import AT_ONCE, Turns
from node.registry.identity.directory import Principal
from node.registry.identity.keys import is_usable, secret_of
from node.registry.identity.uses import note_use
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.auth.passwords import hash_password, is_password
from protocol.errors import CredentialsWrong

_KEY = re.compile(r"AKIA[A-Z2-7]{16}", re.ASCII)
_REMEMBERED = 60.0  # Seconds for which it is not hashed again.
_PREFERRED = 86_400.0  # Seconds for which it goes before others.
_MOST = 10_000  # Passwords that are remembered.
_LONGEST = 1024  # Characters of a password.
_NOBODYS = "AKIA" + "A" * 16


class Passwords:
    """Checks names and passwords; one for each process."""

    def __init__(self, registry: Registry, logins: Logins) -> None:
        self._registry = registry
        self._logins = logins
        self._key = registry.random(32)
        self._right: dict[bytes, float] = {}  # MAC of what was right -> when, on the clock of trio.
        self._turns = Turns()
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._dummy = hash_password("", registry.random(16))

    async def authenticate(self, name: str, password: str, client: Client) -> Caller:
        """Return the caller with this name and password.

        Raises:
            TokenExpired: the name is ``AWS`` and the password no token of ECR's, or one that is over.
            CredentialsWrong: there is no such name, or it has another password.
            TooManyAttempts: too many others wait to be told.
        """
        if name == USER:
            with self._logins.counted("authorization-token"):
                return authenticate_authorization_token(self._registry, password, client)
        if _KEY.fullmatch(name):
            with self._logins.counted("access-key"):
                return caller_of_subject(self._registry, self._by_key(name, password, client), client)
        with self._logins.counted("password"):
            subject = await self._by_user(name, password, client.address)
            return caller_of_subject(self._registry, subject, client)

    def _by_key(self, key: str, secret: str, client: Client) -> Subject:
        directory = self._registry.directory.get()
        found = directory.access_key(key)
        owner = None if found is None else directory.by_id(found.user)
        kept = None if found is None else secret_of(self._registry, found)
        wanted = self._registry.vault.derive(_NOBODYS).hex() if kept is None else kept
        is_right = hmac.compare_digest(_digest(wanted), _digest(secret))
        if found is None or kept is None or owner is None or not is_right or not is_usable(found, self._registry.now()):
            raise _wrong()
        if owner.is_disabled:
            raise _wrong()
        note_use(self._registry, key, client.address, "docker")
        return subject_of_principal(owner)

    async def _by_user(self, name: str, password: str, address: str) -> Subject:
        found = self._registry.directory.get().by_name("user", name)
        kept = None if found is None or found.is_disabled else found.password
        if len(password) > _LONGEST:
            raise _wrong()
        mac = hmac.digest(self._key, f"{name}\0{kept}\0{password}".encode("utf-8", "surrogatepass"), "sha256")
        age = trio.current_time() - self._right.get(mac, float("-inf"))
        if found is not None and kept is not None and age < _REMEMBERED:
            return subject_of_principal(found)
        check = partial(is_password, password, kept or self._dummy)
        async with self._turns.turn(address, name[:_LONGEST], was_right=age < _PREFERRED) as failed:
            is_right = await trio.to_thread.run_sync(check, limiter=self._limiter)
            if found is None or kept is None or not is_right:
                failed()
                raise _wrong()
        self._remember(mac)
        return subject_of_principal(self._again(found))

    def _again(self, before: Principal) -> Principal:
        """Return the user as it is now: it may have been changed while its password was hashed."""
        now = self._registry.directory.get().by_id(before.id)
        if now is None or now.password != before.password or now.is_disabled:
            raise _wrong()
        return now

    def _remember(self, mac: bytes) -> None:
        if len(self._right) >= _MOST:
            self._right.clear()
        self._right[mac] = trio.current_time()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _wrong() -> CredentialsWrong:
    return CredentialsWrong("the user name or the password is wrong")
