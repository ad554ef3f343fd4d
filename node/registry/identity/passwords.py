"""Passwords of people: chosen, hashed beside the event loop, and taken away. Machines have access keys."""

import trio

from node.registry.identity.principals import authorize_user, find_principal, set_password
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.auth.passwords import SALT, hash_password
from protocol.auth.secret import Secret
from protocol.errors import ParameterInvalid

LENGTH = range(12, 129)  # Characters. Short ones are guessed; IAM takes 128 at most.
_ACTION = "iam:UpdateLoginProfile"


async def choose_password(registry: Registry, caller: Caller, user: str, password: Secret) -> None:
    """Give a user a password, for people who log in at a browser or by ``docker login``.

    What was issued to the user before is over.

    Raises:
        Denied: without ``iam:UpdateLoginProfile``.
        ParameterInvalid: it is too short or too long, or contains the user's name.
        PrincipalUnknown: there is no such user.
    """
    authorize_user(registry, caller, _ACTION, user)
    text = _text(password)
    if len(text) not in LENGTH:
        raise ParameterInvalid(f"a password has {LENGTH.start} to {LENGTH.stop - 1} characters")
    if user.lower() in text.lower() and len(user) > 3:
        raise ParameterInvalid("the password has the user's name in it")
    find_principal(registry, "user", user)  # Before the work, for who may see that there is none.
    salt = registry.random(SALT)
    kept = await trio.to_thread.run_sync(hash_password, text, salt, limiter=registry.hashing)
    await set_password(registry, caller, user, kept)


def _text(password: Secret) -> str:
    try:
        return password.value.decode()
    except UnicodeDecodeError:
        raise ParameterInvalid("a password is text in UTF-8") from None
