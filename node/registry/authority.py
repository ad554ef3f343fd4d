"""Who may: the one place where policies meet the store. It is what ``Registry.policies`` asks.

Theory of operation
===================
A request is decided by the documents that concern it: the identity policies of whoever asks, from the directory; the
policy of the repository; that of the registry; that of the session. They are read from one *state*, which holds for as
long as no register and no repository's settings changed (``current``), and in which what was read and decided stays:
documents are parsed once, a decision is made once for each caller, address, action and repository. Where a document
asks for the time its decisions are good for a second. What a use case adds to the request (tags that it sets) is too
various to be kept.

Four things stand before the documents. Whoever can use the control socket may do everything: that is the way back for
an operator whom a policy keeps out. A token is an upper bound: what its scope does not name, or names of a life of the
repository that is over, is refused whatever policies say. Public repositories are pulled by anyone, and no policy takes
that away. And nobody (an anonymous caller) may do nothing else, nor may a principal that is gone or disabled, whatever
a policy of a repository still says of its ARN.

Policies of repositories and of the registry speak of actions of ECR alone: whoever may write one could else make
himself an administrator by it. And no such policy lets anyone log in.

A refusal says nothing of whether the repository exists. A Deny in its policy is told as one only to who would be
allowed without it.

Cost: a known decision 2 microseconds, another one as many as its documents have statements, and 20 to begin with.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeAlias

import msgspec

from node.registry.current import Current
from node.registry.documents import REGISTRY_POLICY as _DOCUMENT
from node.registry.documents import document
from node.registry.identity.directory import Directory
from node.registry.registry import Registry, Resource
from node.registry.settings import settings_of, tags_of
from node.store.rows import RepositoryRow
from node.store.table import ReadTxn
from protocol.auth.arn import repository_arn
from protocol.auth.caller import Access, Caller, root_of
from protocol.auth.conditions import Keys
from protocol.auth.context import TIMES, request_keys, resource_keys
from protocol.auth.decision import Asked, Decision, Named, Why, decide
from protocol.auth.denial import denial
from protocol.auth.policy import Kind, Policy, keys_of, read_policy
from protocol.auth.public import action_on, is_open
from protocol.errors import Denied, PolicyInvalid, ScopeInsufficient
from protocol.oci.names import RepositoryName

ANONYMOUS = "*"
REPOSITORY_POLICY = "repository policy"
REGISTRY_POLICY = "registry policy"
SESSION_POLICY = "session policy"
"""What documents are called where a decision names one."""

_LOG_IN = frozenset({"ecr:GetAuthorizationToken", "ecr-public:GetAuthorizationToken"})
_NO_KEYS: Keys = {}
_MAX_DECISIONS = 8192
_MAX_REPOSITORIES = 4096
_MAX_SESSIONS = 1024
_FOR_NOW = 1.0  # Seconds for which a decision is good that depends on the time.
_FOR_GOOD = float("inf")

_Key: TypeAlias = tuple[object, ...]


class Judged(msgspec.Struct, frozen=True):
    """A decision, what it is about, and the documents that it was made by."""

    asked: Asked
    decision: Decision
    documents: tuple[Named, ...] = ()


class _Repository(msgspec.Struct, frozen=True):
    """What policies need of a repository. One that does not exist has nothing, and the life that it would get."""

    life: int
    policy: Named | None = None
    tags: Mapping[str, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True)
class _State:
    """What holds as long as no rule changes."""

    directory: Directory
    registry_policy: Named | None
    repositories: dict[RepositoryName, _Repository] = field(default_factory=dict)
    sessions: dict[str, Named] = field(default_factory=dict)  # Policies of sessions by their text.
    decisions: dict[_Key, tuple[float, str, type[Denied]]] = field(default_factory=dict)
    """Until when a decision is good, and the refusal: its text, empty where it is allowed, and its kind."""


class Authority:
    """Decides what callers may, and raises ``Denied``."""

    def __init__(self, registry: Registry) -> None:
        """Decide for *registry*, which is then given this as its ``policies``."""
        self._registry = registry
        self._name = registry.name
        self._root = root_of(registry.name.account)
        self._state = Current(registry.store, self._made)

    def __call__(self, caller: Caller, action: str, resource: Resource, keys: Keys = _NO_KEYS) -> None:
        """Return where *caller* may do this, or raise ``Denied`` in the words of ECR.

        ``ScopeInsufficient``, a kind of it, where its token alone stands in the way: another one may do.
        """
        if self._is_operator(caller):
            return
        state = self._state.get()
        key: _Key | None = None
        if not keys:
            key = (
                caller.arn,
                caller.user_id,
                caller.address,
                caller.is_secure,
                caller.access,
                caller.session_policy,
                caller.tags,
                action,
                resource,
            )
            known = state.decisions.get(key)
            if known is not None and monotonic() < known[0]:
                if known[1]:
                    raise known[2](known[1])
                return
        judged = self._judge(state, caller, action, resource, keys)
        refusal = "" if judged.decision.allowed else _refusal(judged)
        kind = ScopeInsufficient if judged.decision.why is Why.NO_SCOPE_ALLOW else Denied
        if key is not None:
            if len(state.decisions) >= _MAX_DECISIONS:
                state.decisions.clear()
            is_passing = any(named.policy is not None and TIMES & keys_of(named.policy) for named in judged.documents)
            state.decisions[key] = (monotonic() + _FOR_NOW if is_passing else _FOR_GOOD), refusal, kind
        if refusal:
            raise kind(refusal)

    def judge(
        self, caller: Caller, action: str, resource: Resource, keys: Keys = _NO_KEYS, *, as_client: bool = False
    ) -> Judged:
        """Return the decision with its reasons; nothing is raised, and nothing kept.

        With *as_client* root without an address is a client as well, and not the operator.
        """
        if self._is_operator(caller) and not as_client:
            return Judged(self._asked(caller, action, resource, keys), Decision(True, Why.OPERATOR))
        return self._judge(self._state.get(), caller, action, resource, keys)

    def _is_operator(self, caller: Caller) -> bool:
        return not caller.address and caller.arn == self._root

    def _judge(self, state: _State, caller: Caller, action: str, resource: Resource, keys: Keys) -> Judged:
        name = None if resource is None or resource.startswith("arn:") else RepositoryName(resource)
        repository = None if name is None else self._repository(state, name)
        tags = {} if repository is None else repository.tags
        asked = self._asked(caller, action, resource, {**tags, **keys})
        if is_open(action, name):  # First: a token for something else takes away nothing that nobody needs one for.
            return Judged(asked, Decision(True, Why.PUBLIC))
        if caller.arn == ANONYMOUS or not self._is_there(state, caller):
            return Judged(asked, Decision(False, Why.NO_IDENTITY_ALLOW))
        documents = tuple(self._documents(state, caller, asked.action, repository))
        judged = Judged(asked, decide(asked, documents), documents)
        is_bounded = caller.access is not None and not _is_in_scope(caller.access, action, name, repository)
        if judged.decision.allowed and is_bounded:  # Else no other token would do either, and the true reason is said.
            return Judged(asked, Decision(False, Why.NO_SCOPE_ALLOW), documents)
        return judged

    def _asked(self, caller: Caller, action: str, resource: Resource, keys: Keys) -> Asked:
        known = {**request_keys(caller, self._name, self._registry.now()), **keys}
        if resource is None:
            return Asked(caller.arn, caller.account, action, "*", self._name.account, known)
        if resource.startswith("arn:"):
            return Asked(caller.arn, caller.account, action, resource, self._name.account, known)
        action = action_on(action, resource)
        return Asked(
            caller.arn, caller.account, action, repository_arn(self._name, resource), self._name.account, known
        )

    def _is_there(self, state: _State, caller: Caller) -> bool:
        """Whether a principal of this account still is one; whether one of another account is, that one knows."""
        if caller.account != self._name.account or caller.arn == self._root:
            return True
        found = state.directory.by_id(caller.user_id.partition(":")[0])
        return found is not None and not found.is_disabled

    def _documents(self, state: _State, caller: Caller, action: str, repository: _Repository | None) -> Iterator[Named]:
        yield from state.directory.identity_policies(caller)
        service = action.partition(":")[0]
        if service == "ecr" and state.registry_policy is not None:
            yield _denies(state.registry_policy) if action in _LOG_IN else state.registry_policy
        if service in {"ecr", "ecr-public"} and repository is not None and repository.policy is not None:
            yield repository.policy
        if caller.session_policy:
            yield self._session(state, caller.session_policy)

    def _repository(self, state: _State, name: RepositoryName) -> _Repository:
        found = state.repositories.get(name)
        if found is None:
            meta = self._registry.store.meta
            with meta.read() as txn:
                row = meta.repositories.get(txn, name)
            found = _Repository(1) if row is None else _described(row)
            if len(state.repositories) >= _MAX_REPOSITORIES:
                state.repositories.clear()
            state.repositories[name] = found
        return found

    def _session(self, state: _State, text: str) -> Named:
        found = state.sessions.get(text)
        if found is None:
            if len(state.sessions) >= _MAX_SESSIONS:
                state.sessions.clear()
            found = state.sessions[text] = _named(SESSION_POLICY, text, Kind.SESSION)
        return found

    def _made(self, txn: ReadTxn) -> _State:
        text = document(self._registry, txn, _DOCUMENT)
        policy = None if text is None else _named(REGISTRY_POLICY, text, Kind.REGISTRY)
        return _State(self._registry.directory.get(), policy)


def _described(row: RepositoryRow) -> _Repository:
    fields = settings_of(row)
    policy = fields.get("policy")
    named = _named(REPOSITORY_POLICY, policy, Kind.REPOSITORY) if isinstance(policy, str) else None
    return _Repository(row.state.life, named, resource_keys(tags_of(fields)))


def _named(name: str, text: str, kind: Kind) -> Named:
    try:
        return Named(name, read_policy(text.encode(), kind))
    except PolicyInvalid:  # By a version that took it: it denies, and the decision names it.
        return Named(name, None)


def _denies(named: Named) -> Named:
    """Return what is left of a document of which Allows count for nothing."""
    if named.policy is None:
        return named
    statements = tuple(one for one in named.policy.statements if not one.allows)
    return Named(named.name, Policy(named.policy.kind, statements))


def _is_in_scope(
    access: tuple[Access, ...], action: str, name: RepositoryName | None, repository: _Repository | None
) -> bool:
    """Whether a token with this scope may be used for *action*; ``*`` names what is no repository."""
    action = action.replace("ecr-public:", "ecr:", 1)
    wanted = "*" if name is None else name
    for one in access:
        if one.repository == wanted and action in one.actions:
            return repository is None or one.life in {0, repository.life}
    return False


def _refusal(judged: Judged) -> str:
    decision = judged.decision
    if decision.why is Why.EXPLICIT_DENY and decision.kind is Kind.REPOSITORY:
        others = [one for one in judged.documents if one.policy is None or one.policy.kind is not Kind.REPOSITORY]
        without = decide(judged.asked, others)
        if not without.allowed:
            decision = without
    return denial(judged.asked, decision)
