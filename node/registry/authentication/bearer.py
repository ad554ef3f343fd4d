"""Bearer tokens of OCI clients: issued for what was asked and is allowed, known again, and checked each time."""

from collections.abc import Iterable, Mapping

import msgspec

from node.registry.authentication.authorization import Issued, open_subject, seal_subject
from node.registry.authentication.logins import Logins
from node.registry.authentication.subjects import Client, Subject, caller_of_subject, subject_of
from node.registry.authentication.tokenkeys import TokenKeys
from node.registry.registry import Registry
from protocol.auth import token as jwt
from protocol.auth.caller import Access, Caller
from protocol.auth.challenge import Scope
from protocol.errors import TokenExpired, TokenInvalid
from protocol.oci.names import RepositoryName

_REFRESH = "refresh tokens"
_OVER = "the token is over; ask for another one"
_MOST = 4096  # Tokens that are known again without another look at their signature.

_PULL = ("BatchGetImage", "GetDownloadUrlForLayer", "BatchCheckLayerAvailability", "ListImages", "ListImageReferrers")
_IMPORT = ("BatchImportUpstreamImage", "CreateRepository")
_PUSH = (
    "BatchCheckLayerAvailability",
    "InitiateLayerUpload",
    "UploadLayerPart",
    "CompleteLayerUpload",
    "PutImage",
    "CreateRepository",
)
_OF: Mapping[str, tuple[str, ...]] = {
    "pull": (*_PULL, *_IMPORT),
    "push": _PUSH,
    "delete": ("BatchDeleteImage",),
    "*": (*_PULL, *_IMPORT, *_PUSH, "BatchDeleteImage", "DescribeRepositories"),
}
"""What a token for an action of a scope may be used for."""

_ASKED: Mapping[str, str] = {
    "pull": "ecr:BatchGetImage",
    "push": "ecr:InitiateLayerUpload",
    "delete": "ecr:BatchDeleteImage",
}
"""What the policies are asked for before a token is issued for an action."""


class BearerTokens:
    """Issues tokens and knows them again; one for each process."""

    def __init__(self, registry: Registry, logins: Logins) -> None:
        self._registry = registry
        self._logins = logins
        self._keys = TokenKeys(registry)
        self._known: dict[str, tuple[Subject, tuple[Access, ...], float]] = {}
        self._name = f"entrepot {registry.name}"

    def issue(self, caller: Caller, scopes: Iterable[Scope]) -> Issued:
        """Return a token for as much of *scopes* as *caller* is allowed."""
        registry, now = self._registry, int(self._registry.now())
        subject = subject_of(registry, caller)
        granted = (_granted(registry, caller, scope) for scope in scopes)
        claims = jwt.Claims(
            iss=self._name,
            aud=self._name,
            sub=f"{subject.user_id}:{subject.session}" if subject.session else subject.user_id,
            gen=subject.generation,
            iat=now,
            nbf=now,
            exp=now + registry.settings.lifetimes.token,
            jti=registry.random(12).hex(),
            access=tuple(one for one in granted if one.actions),
            pol=subject.policy,
            tags=subject.tags,
        )
        key, sign = self._keys.signer()
        while len(token := jwt.issue(claims, key, sign)) > jwt.MAX_TOKEN:
            claims = msgspec.structs.replace(claims, access=claims.access[:-1])
        return Issued(token, claims.exp)

    def known(self, token: str, client: Client) -> Caller | None:
        """Return the caller of a token that was verified before, ``None`` where it has to be; raises as the other."""
        found = self._known.get(token)
        if found is None or found[2] <= self._registry.now():
            return None
        return _caller(self._registry, found[0], client, found[1])

    def authenticate(self, token: str, client: Client) -> Caller:
        """Return the caller of a token.

        Raises:
            TokenInvalid: it is none of this registry; or its time is over, or its principal is gone, disabled or has
                lost a key since. Clients ask for another one then.
        """
        known = self.known(token, client)
        if known is not None:
            return known
        with self._logins.counted("bearer-token"):
            return self._verified(token, client)

    def _verified(self, token: str, client: Client) -> Caller:
        now = self._registry.now()
        try:
            claims = jwt.read_token(token, self._keys.verifiers, issuer=self._name, audience=self._name, now=now)
        except TokenExpired:
            raise TokenInvalid(_OVER) from None
        user_id, _, session = claims.sub.partition(":")
        subject = Subject(user_id, claims.gen, session, claims.pol, claims.tags)
        access = tuple(_access(one) for one in claims.access)
        caller = _caller(self._registry, subject, client, access)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[token] = subject, access, float(claims.exp)
        return caller

    def issue_refresh(self, caller: Caller) -> Issued:
        """Return a refresh token, by which ``authenticate_refresh`` knows *caller* again."""
        lifetime = self._registry.settings.lifetimes.refresh
        return seal_subject(self._registry, _REFRESH, subject_of(self._registry, caller), lifetime)

    def authenticate_refresh(self, token: str, client: Client) -> Caller:
        """Return the caller of a refresh token, or raise ``TokenInvalid``; ``TokenExpired`` where it is over."""
        with self._logins.counted("refresh-token"):
            subject = open_subject(self._registry, _REFRESH, token)
            if subject.user_id == "*":
                raise TokenInvalid("nobody logged in for this token")
            return caller_of_subject(self._registry, subject, client)

    def would_give(self, caller: Caller, scopes: Iterable[Scope]) -> bool:
        """Whether another token, for *scopes*, would be good for something that the one *caller* showed is not for."""
        if caller.access is None:
            return False
        unbound = msgspec.structs.replace(caller, access=None)
        had = {(one.repository, one.life, action) for one in caller.access for action in one.actions}
        new = [_access(_granted(self._registry, unbound, scope)) for scope in scopes]
        return any((one.repository, one.life, action) not in had for one in new for action in one.actions)


def _caller(registry: Registry, subject: Subject, client: Client, access: tuple[Access, ...]) -> Caller:
    try:
        return caller_of_subject(registry, subject, client, access)
    except TokenExpired:
        raise TokenInvalid(_OVER) from None


def _granted(registry: Registry, caller: Caller, scope: Scope) -> jwt.Access:
    if scope.name == "*":
        return jwt.Access("*", "0", scope.actions)
    name = RepositoryName(scope.name)
    wanted = [one for one in ("pull", "push", "delete") if one in scope.actions or "*" in scope.actions]
    actions = tuple(one for one in wanted if registry.allows(caller, _ASKED[one], name))
    with registry.store.meta.read() as txn:
        row = registry.store.meta.repositories.get(txn, name)
    return jwt.Access(scope.name, str(0 if row is None else row.state.life), actions)


def _access(said: jwt.Access) -> Access:
    actions = {f"ecr:{name}" for one in said.actions for name in _OF[one]}
    return Access(said.name, int(said.life) if said.life.isdecimal() else 0, tuple(sorted(actions)))
