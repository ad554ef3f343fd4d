"""The block ``Condition`` of a statement: every operator family of IAM, parsed once.

All operators of a block have to hold, and all keys of an operator; of the values of a key one has to fit, or, for an
operator that negates, none. A key that the request does not have fails a positive operator and passes a negated one
and every one that ends in ``IfExists``. ``ForAnyValue:`` asks for one value of the request that fits, and fails where
there is none; ``ForAllValues:`` asks that each does, and holds where there is none. Without either, a key of several
values is taken as ``ForAnyValue:``, and a negated operator as none of them.

A value of the request that is not of the operator's type fits nothing; a value of the document that is not is refused
when the document is read.

Source: IAM user guide, "IAM JSON policy elements: Condition operators", "Multivalued context keys".
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import msgspec

from protocol.auth.patterns import matches
from protocol.auth.variables import Text, expand
from protocol.moment import parse_moment

Keys: TypeAlias = Mapping[str, tuple[str, ...]]
"""What is known of a request: condition key in lower case -> its values."""

Fits: TypeAlias = Callable[[str, Text, Keys], bool]
"""``fits(value of the request, value of the document, keys)``."""


class Test(msgspec.Struct, frozen=True):
    """One key of one operator."""

    operator: str  # As in the table, without prefix and suffix.
    key: str  # Lower case.
    values: tuple[Text, ...]
    each: str = ""  # ``foranyvalue``, ``forallvalues`` or nothing.
    if_exists: bool = False


def holds(test: Test, keys: Keys) -> bool:
    """Whether the request that *keys* describes passes *test*."""
    found = keys.get(test.key)
    if test.operator == "null":
        return any((found is None) == (value.text == "true") for value in test.values)
    fits, negated = OPERATORS[test.operator]
    if found is None:
        return test.if_exists or test.each == "forallvalues" or (negated and test.each != "foranyvalue")

    def passes(value: str) -> bool:
        return any(fits(value, wanted, keys) for wanted in test.values) != negated

    if test.each == "forallvalues" or (negated and not test.each):
        return all(map(passes, found))
    return any(map(passes, found))


def check_value(operator: str, value: Text) -> str:
    """Return what is wrong with a value of the document, or nothing."""
    return "" if value.has_variables else _CHECKS.get(operator, _is_text)(value.text)


def _equals(value: str, wanted: Text, keys: Keys) -> bool:
    return value == expand(wanted, keys)


def _equals_folded(value: str, wanted: Text, keys: Keys) -> bool:
    text = expand(wanted, keys)
    return text is not None and value.casefold() == text.casefold()


def _like(value: str, wanted: Text, keys: Keys) -> bool:
    found = wanted.pattern(keys)
    return found is not None and matches(found, value)


def _arn_like(value: str, wanted: Text, keys: Keys) -> bool:
    """Each of the six parts by itself: a star never reaches over a colon, but in the last one."""
    parts, wanted_parts = value.split(":", 5), wanted.parts(":", 6)
    if len(parts) != 6 or wanted_parts is None:
        return False
    return all(_like(part, one, keys) for part, one in zip(parts, wanted_parts, strict=True))


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and len(text) <= 40 else None


def _date(text: str) -> Decimal | None:
    """Return seconds since 1970: of an ISO 8601 date, or of the number itself."""
    number = _number(text)
    if number is not None:
        return number
    seconds = parse_moment(text)
    return None if seconds is None else Decimal(str(seconds))


def _compared(read: Callable[[str], Decimal | None], compare: Callable[[Decimal, Decimal], bool]) -> Fits:
    def fits(value: str, wanted: Text, keys: Keys) -> bool:
        text = expand(wanted, keys)
        left, right = read(value), None if text is None else read(text)
        return left is not None and right is not None and compare(left, right)

    return fits


def _bool(value: str, wanted: Text, keys: Keys) -> bool:
    text = expand(wanted, keys)
    return text is not None and value.lower() == text.lower()


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _in_network(value: str, wanted: Text, keys: Keys) -> bool:
    text = expand(wanted, keys)
    network = None if text is None else _network(text)
    try:
        address = ip_address(value)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return network is not None and (mapped or address) in network


def _comparisons(name: str, read: Callable[[str], Decimal | None]) -> dict[str, tuple[Fits, bool]]:
    return {
        f"{name}equals": (_compared(read, lambda left, right: left == right), False),
        f"{name}notequals": (_compared(read, lambda left, right: left == right), True),
        f"{name}lessthan": (_compared(read, lambda left, right: left < right), False),
        f"{name}lessthanequals": (_compared(read, lambda left, right: left <= right), False),
        f"{name}greaterthan": (_compared(read, lambda left, right: left > right), False),
        f"{name}greaterthanequals": (_compared(read, lambda left, right: left >= right), False),
    }


OPERATORS: Mapping[str, tuple[Fits, bool]] = {
    "stringequals": (_equals, False),
    "stringnotequals": (_equals, True),
    "stringequalsignorecase": (_equals_folded, False),
    "stringnotequalsignorecase": (_equals_folded, True),
    "stringlike": (_like, False),
    "stringnotlike": (_like, True),
    **_comparisons("numeric", _number),
    **_comparisons("date", _date),
    "bool": (_bool, False),
    "binaryequals": (_equals, False),
    "ipaddress": (_in_network, False),
    "notipaddress": (_in_network, True),
    "arnequals": (_arn_like, False),
    "arnlike": (_arn_like, False),
    "arnnotequals": (_arn_like, True),
    "arnnotlike": (_arn_like, True),
}
"""Operator in lower case -> (whether a value fits, whether the operator negates). ``Null`` stands apart."""


def _is_text(_text: str) -> str:
    return ""


def _is_number(text: str) -> str:
    return "" if _number(text) is not None else "not a number"


def _is_date(text: str) -> str:
    return "" if _date(text) is not None else "not a date in ISO 8601, nor seconds since 1970"


def _is_bool(text: str) -> str:
    return "" if text in {"true", "false"} else "neither true nor false"


def _is_network(text: str) -> str:
    return "" if _network(text) is not None else "not an address or network, such as 203.0.113.0/24"


def _is_base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return "not base64"
    return ""


def _is_arn(text: str) -> str:
    return "" if text.count(":") >= 5 or text == "*" else "not an ARN of six parts"


_CHECKS: Mapping[str, Callable[[str], str]] = {
    **dict.fromkeys(_comparisons("numeric", _number), _is_number),
    **dict.fromkeys(_comparisons("date", _date), _is_date),
    **dict.fromkeys(("arnequals", "arnlike", "arnnotequals", "arnnotlike"), _is_arn),
    **dict.fromkeys(("ipaddress", "notipaddress"), _is_network),
    "bool": _is_bool,
    "null": _is_bool,
    "binaryequals": _is_base64,
}
