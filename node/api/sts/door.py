"""The application: which operation a request is for, who sends it, and what comes of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from node.api.sts.answer import Result, answered, failed, refused
from node.api.sts.form import Form, read_form, receive, required, seconds, tags
from node.http.entrance import Entrance
from node.http.message import Application, Request, Response
from node.registry.audit.notes import stranger
from node.registry.authentication.federation import Federation
from node.registry.authentication.roles import Assumed, Wanted, assume_role, assume_role_by_identity, session_of_user
from node.registry.authentication.sessions import Credentials
from node.registry.authentication.subjects import Client
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.errors import (
    Damaged,
    IdentityTokenExpired,
    OperationUnknown,
    ParameterInvalid,
    PolicyInvalid,
    Refusal,
    SignatureMissing,
)
from protocol.moment import rfc3339

_DAY_HALF = 43_200  # Seconds of a user's own session, unless it says otherwise.
_OWN: Mapping[type[Refusal], tuple[str, int]] = {
    IdentityTokenExpired: ("ExpiredTokenException", 400),
    PolicyInvalid: ("MalformedPolicyDocument", 400),
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of."""

    registry: Registry
    entrance: Entrance
    federation: Federation
    damaged: Callable[[Damaged], None]
    """Told of stored bytes that failed their check."""


@dataclass(frozen=True, slots=True)
class _Call:
    parts: Parts
    request: Request
    body: bytes
    form: Form
    known: list[Caller] = field(default_factory=list)
    """Who asks, once that is known."""

    async def caller(self) -> Caller:
        """Return who asks, who has to have said so."""
        caller = await self.parts.entrance.identify(self.request, self.body)
        if not caller.account:
            raise SignatureMissing("Request is missing Authentication Token")
        self.known.append(caller)
        return caller


_Operation: TypeAlias = Callable[[_Call], Awaitable[Result]]


def sts_application(parts: Parts) -> Application:
    """Return what serves forms at ``/`` on the client port."""

    async def application(request: Request) -> Response:
        who, action, notes = [stranger(request.client, request.id)], "sts:", parts.registry.notes_of_audit
        try:
            body = await receive(request.body)
            form = read_form(request, body)
            name = form.get("Action", "")
            operation = _OPERATIONS.get(name)
            if operation is None:
                raise OperationUnknown(f"Could not find operation {name[:64]}")
            request.route = action = f"sts:{name}"
            result = await operation(_Call(parts, request, body, form, who))
            notes.note(who[-1], action, form.get("RoleArn", ""))
            return answered(request.id, name, result)
        except Refusal as refusal:
            notes.refused(who[-1], action, "", refusal)
            return refused(request.id, refusal, _OWN)
        except Damaged as error:
            parts.damaged(error)
            return failed(request.id)

    return application


async def _get_caller_identity(call: _Call) -> Result:
    caller = await call.caller()
    return {"Arn": caller.arn, "UserId": caller.user_id or caller.account, "Account": caller.account}


async def _assume_role(call: _Call) -> Result:
    caller = await call.caller()
    assumed = assume_role(call.parts.registry, caller, _wanted(call.form))
    return {"Credentials": _credentials(assumed.credentials), "AssumedRoleUser": _user(assumed)}


async def _assume_role_with_web_identity(call: _Call) -> Result:
    wanted, request = _wanted(call.form), call.request
    identity = await call.parts.federation.identify(required(call.form, "WebIdentityToken"))
    client = Client(request.client, request.id, request.scheme == "https")
    assumed = assume_role_by_identity(call.parts.registry, identity, client, wanted)
    return {
        "Credentials": _credentials(assumed.credentials),
        "SubjectFromWebIdentityToken": identity.subject,
        "AssumedRoleUser": _user(assumed),
        "Provider": identity.issuer,
        "Audience": identity.audience[0],
    }


async def _get_session_token(call: _Call) -> Result:
    caller = await call.caller()
    wanted = seconds(call.form, "DurationSeconds")
    credentials = session_of_user(call.parts.registry, caller, _DAY_HALF if wanted is None else wanted)
    return {"Credentials": _credentials(credentials)}


_OPERATIONS: Mapping[str, _Operation] = {
    "AssumeRole": _assume_role,
    "AssumeRoleWithWebIdentity": _assume_role_with_web_identity,
    "GetCallerIdentity": _get_caller_identity,
    "GetSessionToken": _get_session_token,
}


def _wanted(form: Form) -> Wanted:
    if any(name.startswith(("PolicyArns.", "ProvidedContexts.")) for name in form):
        raise ParameterInvalid("a session is narrowed by Policy; PolicyArns and ProvidedContexts are not taken here")
    return Wanted(
        required(form, "RoleArn"),
        required(form, "RoleSessionName"),
        seconds(form, "DurationSeconds"),
        form.get("Policy", ""),
        tags(form),
        form.get("ExternalId", ""),
    )


def _user(assumed: Assumed) -> Result:
    return {"AssumedRoleId": assumed.id, "Arn": assumed.arn}


def _credentials(credentials: Credentials) -> Result:
    return {
        "AccessKeyId": credentials.key,
        "SecretAccessKey": credentials.secret.value.decode(),
        "SessionToken": credentials.token.value.decode(),
        "Expiration": rfc3339(credentials.expires * 1000, with_ms=False),
    }
