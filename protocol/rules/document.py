"""Rule documents: typed values, or a refusal that names the place."""

from typing import TypeVar

import msgspec

from protocol.auth.names import LOCAL_ACCOUNT, RegistryName
from protocol.errors import RuleInvalid
from protocol.oci.document import Document, read_object

MAX_DOCUMENT = 2**21  # Bytes: 25 rules of 100 long filters, pretty-printed, are some 1.2 MiB.

Rule = TypeVar("Rule")


def read_document(data: bytes) -> Document:
    """Return the JSON object that *data* is, or raise ``RuleInvalid``."""
    if len(data) > MAX_DOCUMENT:
        raise RuleInvalid(f"a document of {len(data)} bytes; at most {MAX_DOCUMENT} are read")
    return read_object(data, RuleInvalid)


def require_others(own: RegistryName) -> None:
    """Raise ``RuleInvalid`` where a rule about other registries could never be followed: *own* has no peers."""
    if own.account == LOCAL_ACCOUNT:
        raise RuleInvalid(
            "this registry made itself up on its first start and has no other nodes: run "
            "`entrepot init --data DIR --account 12-DIGITS --region NAME` with an empty DIR"
        )


def typed(document: Document, kind: type[Rule]) -> Rule:
    """Return *document* as *kind*, or raise ``RuleInvalid`` with the place, as in ``$.rules[0].destinations``."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise RuleInvalid(str(error)) from None
