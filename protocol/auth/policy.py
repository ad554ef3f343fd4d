"""Policy documents: JSON as IAM has it, read once into what a decision needs, or refused with the place.

Three kinds differ in what they may hold. An identity policy says what its owner may do and names resources; a policy
of a repository or of the registry says who may, and names principals; a repository's may leave out the resource,
which is the repository itself. Whatever is not known is refused, for a word that is passed over in silence is a door
that somebody believes to be shut.

Source: IAM user guide, "Grammar of the IAM JSON policy language", "IAM JSON policy elements reference".
"""

import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, TypeAlias

import msgspec

from protocol.auth.conditions import OPERATORS, Test, check_value
from protocol.auth.patterns import Pattern, pattern
from protocol.auth.variables import Text, Variable, plain_text, text_with_variables
from protocol.errors import PolicyInvalid
from protocol.oci.document import Document, read_object

VERSIONS = ("2008-10-17", "2012-10-17")
MAX_STATEMENTS = 1000
MAX_VALUES = 1000  # Of one list.


class Kind(Enum):
    """Whose policy a document is."""

    IDENTITY = "identity"
    REPOSITORY = "repository"
    REGISTRY = "registry"
    TRUST = "trust"  # Says who may assume a role, and nothing of resources.
    SESSION = "session"  # Narrows what a session may do, and gives nothing.

    @property
    def names_principals(self) -> bool:
        """Whether its statements say who."""
        return self in {Kind.REPOSITORY, Kind.REGISTRY, Kind.TRUST}


class Principals(msgspec.Struct, frozen=True):
    """Who a statement is about."""

    everyone: bool = False
    accounts: frozenset[str] = frozenset()  # Their root, to which they delegate: 12 digits.
    arns: frozenset[str] = frozenset()  # Users, roles and sessions.
    services: frozenset[str] = frozenset()
    federated: frozenset[str] = frozenset()


class Statement(msgspec.Struct, frozen=True):
    """One statement; what is ``None`` was not said."""

    place: str  # ``Sid``, or its place such as ``Statement[2]``.
    allows: bool
    actions: tuple[Pattern, ...]  # Lower case.
    not_actions: bool
    resources: tuple[Text, ...] | None
    not_resources: bool
    principals: Principals | None
    not_principals: bool
    tests: tuple[Test, ...]


class Policy(msgspec.Struct, frozen=True):
    """A document that was read."""

    kind: Kind
    statements: tuple[Statement, ...]


_SERVICES = frozenset({"ecr", "ecr-public"})
_TOP = frozenset({"Version", "Id", "Statement"})
_STATEMENT = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9*?]+|\*")
_ACCOUNT = re.compile(r"[0-9]{12}")
_ROOT = re.compile(r"arn:[a-z0-9-]+:iam::([0-9]{12}):root")
_PRINCIPAL = re.compile(
    r"arn:[a-z0-9-]+:(?:iam::[0-9]{12}:(?:user|role)/[\w+=,.@/-]{1,600}"
    r"|sts::[0-9]{12}:(?:assumed-role|federated-user)/[\w+=,.@/-]{1,600})",
    re.ASCII,
)
_SERVICE = re.compile(r"[a-z0-9.-]{1,120}")
_PROVIDER = re.compile(r"arn:[a-z0-9-]+:iam::[0-9]{12}:oidc-provider/[!-~]{1,255}")
_OPERATOR = re.compile(r"(?:(foranyvalue|forallvalues):)?([a-z]+?)(ifexists)?", re.ASCII)
_KEY = re.compile(r"[a-z0-9][\w./%~-]{0,255}:[\w./:@=+~%-]{1,200}", re.ASCII)  # Of an issuer: host and path.

_Place: TypeAlias = str


def read_policy(data: bytes, kind: Kind) -> Policy:
    """Return the policy that *data* is, or raise ``PolicyInvalid`` with the place, as in ``Statement[1].Action``."""
    document = read_object(data, PolicyInvalid)
    _known(document, _TOP, "")
    version = document.get("Version", VERSIONS[0])
    if version not in VERSIONS:
        raise PolicyInvalid(f"Version: {version!r:.80} is none; there are {' and '.join(VERSIONS)}")
    if not isinstance(document.get("Id", ""), str):
        raise PolicyInvalid("Id: not a text")
    text = plain_text if version == VERSIONS[0] else text_with_variables
    found = document.get("Statement")
    many = found if isinstance(found, list) else [found]
    if not many or len(many) > MAX_STATEMENTS:
        raise PolicyInvalid(f"Statement: from 1 to {MAX_STATEMENTS} of them, not {len(many)}")
    statements = tuple(_statement(one, f"Statement[{at}]", kind, text) for at, one in enumerate(many))
    sids = [one.place for one in statements]
    if len(set(sids)) != len(sids):
        raise PolicyInvalid("Statement: two of them have one Sid")
    return Policy(kind, statements)


def keys_of(policy: Policy) -> frozenset[str]:
    """Return the condition keys that *policy* looks at, in lower case, those of its variables among them."""
    texts = [text for one in policy.statements for text in one.resources or ()]
    tests = [test for one in policy.statements for test in one.tests]
    texts += [text for test in tests for text in test.values]
    variables = {piece.key for text in texts for piece in text.pieces if isinstance(piece, Variable)}
    return frozenset(variables | {test.key for test in tests})


def _statement(value: object, place: _Place, kind: Kind, text: Callable[[str], Text]) -> Statement:
    if not isinstance(value, dict):
        raise PolicyInvalid(f"{place}: not an object")
    _known(value, _STATEMENT, f"{place}.")
    effect = value.get("Effect")
    if effect not in {"Allow", "Deny"}:
        raise PolicyInvalid(f"{place}.Effect: Allow or Deny, not {effect!r:.80}")
    actions, not_actions = _one_of(value, "Action", place)
    if actions is None:
        raise PolicyInvalid(f"{place}: neither Action nor NotAction")
    principals, not_principals = _one_of(value, "Principal", place)
    if (principals is not None) != kind.names_principals:
        word = "no Principal" if kind.names_principals else "a Principal"
        raise PolicyInvalid(f"{place}: {word} in a policy of kind {kind.value}")
    resources, not_resources = _one_of(value, "Resource", place)
    if resources is not None and kind is Kind.TRUST:
        raise PolicyInvalid(f"{place}: a Resource in a policy of kind {kind.value}, which is about its role")
    if resources is None and kind not in {Kind.REPOSITORY, Kind.TRUST}:
        raise PolicyInvalid(f"{place}: no Resource in a policy of kind {kind.value}")
    if not_principals and effect == "Allow":
        raise PolicyInvalid(f"{place}.NotPrincipal: with Allow it would let in everyone else; only with Deny")
    return Statement(
        place=_sid(value, place),
        allows=effect == "Allow",
        actions=tuple(_action(one, f"{place}.Action", kind) for one in _texts(actions, f"{place}.Action")),
        not_actions=not_actions,
        resources=None
        if resources is None
        else tuple(_resource(one, f"{place}.Resource", text) for one in _texts(resources, f"{place}.Resource")),
        not_resources=not_resources,
        principals=None if principals is None else _principals(principals, f"{place}.Principal"),
        not_principals=not_principals,
        tests=tuple(_tests(value.get("Condition", {}), f"{place}.Condition", text)),
    )


def _known(value: Document, names: frozenset[str], prefix: str) -> None:
    for name in value:
        if name not in names:
            raise PolicyInvalid(
                f"{prefix}{name[:80]}: not an element of a policy; there are {', '.join(sorted(names))}"
            )


def _one_of(value: Document, name: str, place: _Place) -> tuple[Any, bool]:
    """Return the element *name* or ``Not``*name*, and whether it is the second."""
    if name in value and f"Not{name}" in value:
        raise PolicyInvalid(f"{place}: {name} and Not{name} exclude each other")
    return (value[f"Not{name}"], True) if f"Not{name}" in value else (value.get(name), False)


def _sid(value: Document, place: _Place) -> str:
    sid = value.get("Sid", "")
    if not isinstance(sid, str) or len(sid) > 256:
        raise PolicyInvalid(f"{place}.Sid: not a text of at most 256 characters")
    return sid or place


def _many(value: object, place: _Place) -> list[object]:
    many: list[object] = value if isinstance(value, list) else [value]
    if not many or len(many) > MAX_VALUES:
        raise PolicyInvalid(f"{place}: from 1 to {MAX_VALUES} values, not {len(many)}")
    return many


def _texts(value: object, place: _Place) -> list[str]:
    many = _many(value, place)
    found = []
    for one in many:
        if not isinstance(one, str) or not one:
            raise PolicyInvalid(f"{place}: {one!r:.80} is not a text")
        found.append(one)
    return found


def _action(name: str, place: _Place, kind: Kind) -> Pattern:
    if not _ACTION.fullmatch(name):
        raise PolicyInvalid(f"{place}: {name[:80]!r} is not an action, such as ecr:BatchGetImage or ecr:Get*")
    service = name.partition(":")[0].lower()
    if kind is Kind.TRUST and name != "*" and service != "sts":
        raise PolicyInvalid(f"{place}: {name[:80]!r} is not an action by which a role is assumed")
    if kind in {Kind.REPOSITORY, Kind.REGISTRY} and name != "*" and service not in _SERVICES:
        raise PolicyInvalid(f"{place}: {name[:80]!r} is not an action of a registry")
    return pattern(name.lower())


def _resource(name: str, place: _Place, text: Callable[[str], Text]) -> Text:
    if name != "*" and not (name.startswith("arn:") and name.count(":") >= 5) and "${" not in name:
        raise PolicyInvalid(f"{place}: {name[:80]!r} is not an ARN, such as arn:aws:ecr:REGION:ACCOUNT:repository/NAME")
    return text(name)


def _principals(value: object, place: _Place) -> Principals:
    if value == "*":
        return Principals(everyone=True)
    if not isinstance(value, dict) or not value:
        raise PolicyInvalid(f'{place}: "*", or an object such as {{"AWS": "123456789012"}}')
    accounts: set[str] = set()
    arns: set[str] = set()
    everyone = False
    _known(value, frozenset({"AWS", "Service", "Federated"}), f"{place}.")
    for name in _texts(value["AWS"], f"{place}.AWS") if "AWS" in value else []:
        root = _ROOT.fullmatch(name)
        if name == "*":
            everyone = True
        elif root or _ACCOUNT.fullmatch(name):
            accounts.add(root[1] if root else name)
        elif _PRINCIPAL.fullmatch(name):
            arns.add(name)
        else:
            raise PolicyInvalid(f"{place}.AWS: {name[:80]!r} is not an account, nor the ARN of a user, role or session")
    services = _each(value, "Service", place, _SERVICE, "the name of a service")
    federated = _each(value, "Federated", place, _PROVIDER, "arn:aws:iam::ACCOUNT:oidc-provider/ISSUER")
    return Principals(everyone, frozenset(accounts), frozenset(arns), services, federated)


def _each(value: Document, kind: str, place: _Place, form: re.Pattern[str], words: str) -> frozenset[str]:
    names = _texts(value[kind], f"{place}.{kind}") if kind in value else []
    for name in names:
        if not form.fullmatch(name):
            raise PolicyInvalid(f"{place}.{kind}: {name[:80]!r} is not {words}")
    return frozenset(names)


def _tests(value: object, place: _Place, text: Callable[[str], Text]) -> Iterator[Test]:
    if not isinstance(value, dict):
        raise PolicyInvalid(f"{place}: not an object")
    for operator, keys in value.items():
        parsed = _OPERATOR.fullmatch(operator.lower())
        name = parsed[2] if parsed else ""
        if parsed is None or not (name in OPERATORS or parsed[0] == "null"):
            raise PolicyInvalid(f"{place}.{operator[:80]}: not an operator")
        if not isinstance(keys, dict) or not keys:
            raise PolicyInvalid(f"{place}.{operator[:80]}: not an object of condition keys")
        for key, values in keys.items():
            where = f"{place}.{operator}.{key[:80]}"
            if not _KEY.fullmatch(key.lower()):
                raise PolicyInvalid(f"{where}: not a condition key, such as aws:SourceIp")
            read = tuple(text(one) for one in _values(values, where))
            for one in read:
                if wrong := check_value(name, one):
                    raise PolicyInvalid(f"{where}: {one.text[:80]!r} is {wrong}")
            yield Test(name, key.lower(), read, parsed[1] or "", bool(parsed[3]))


def _values(value: object, place: _Place) -> list[str]:
    """Return the values of a condition as text: JSON's numbers and booleans are taken for what they say."""
    many = _many(value, place)
    found = []
    for one in many:
        match one:
            case bool():
                found.append("true" if one else "false")
            case str() | int() | float():
                found.append(str(one))
            case _:
                raise PolicyInvalid(f"{place}: {one!r:.80} is not a value")
    return found
