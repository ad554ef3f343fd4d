"""The authorities of other accounts, each trusted by a person who compared its fingerprint.

The file ``trust.json`` of the folder ``identity``. Trust is never transitive: what a trusted account trusts is
nothing to us. Taking it back cuts the sessions with that account (``Mesh.reload``).
"""

from pathlib import Path

import msgspec

from node.peers.certificates import Authority, parse_authority
from node.peers.files import locked, read_file, write_file
from protocol.auth.names import LOCAL_ACCOUNT, Account, account
from protocol.errors import Damaged, NotReady, ParameterInvalid
from protocol.wire.descriptor import MAX_ADDRESSES, parse_address

MAX_ACCOUNTS = 256
MAX_AUTHORITIES = 4  # Of one account: the old and the new one while it is replaced, with room.
_FILE = "trust.json"


class Trusted(msgspec.Struct, frozen=True):
    """One other account."""

    authorities: tuple[Authority, ...]
    addresses: tuple[str, ...]
    """Where to dial first; more are learnt from its nodes."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    authorities: tuple[str, ...]  # PEM.
    addresses: tuple[str, ...]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int = 1
    accounts: dict[Account, _Entry] = {}


def load_trust(folder: Path) -> dict[Account, Trusted]:
    """Return who is trusted, by account."""
    document = _read(folder)
    try:
        return {
            account(name): Trusted(tuple(parse_authority(pem.encode()) for pem in entry.authorities), entry.addresses)
            for name, entry in document.accounts.items()
        }
    except ParameterInvalid as error:
        raise Damaged(f"identity/{_FILE}: {error}") from error


def add_trust(folder: Path, ours: Account, theirs: Account, pem: bytes, addresses: tuple[str, ...]) -> Authority:
    """Trust the authority in *pem* for account *theirs*, and return it, that its fingerprint can be shown.

    What was trusted of that account stays; *addresses* take the place of the old ones unless there are none.

    Raises:
        ParameterInvalid: *pem* is no authority's certificate, or another account's.
        NotReady: *ours* is the account of a node without peers.
    """
    _require_peers(ours)
    authority = parse_authority(pem)
    if authority.account != theirs:
        raise ParameterInvalid(f"this is the authority of account {authority.account}, not of {theirs}")
    if theirs in (ours, LOCAL_ACCOUNT):
        raise ParameterInvalid(
            f"account {theirs} needs no trust: nodes of one account come together by `entrepot join`"
        )
    for address in addresses:
        parse_address(address)
    with locked(folder):
        accounts = dict(_read(folder).accounts)
        old = accounts.get(theirs, _Entry((), ()))
        text = authority.pem.decode()
        pems = (*(one for one in old.authorities if one != text), text)
        if len(pems) > MAX_AUTHORITIES or len(addresses) > MAX_ADDRESSES or len({*accounts, theirs}) > MAX_ACCOUNTS:
            raise ParameterInvalid(
                f"at most {MAX_ACCOUNTS} accounts with {MAX_AUTHORITIES} authorities and {MAX_ADDRESSES} addresses each"
            )
        accounts[theirs] = _Entry(pems, addresses or old.addresses)
        _write(folder, accounts)
    return authority


def remove_trust(folder: Path, theirs: Account) -> None:
    """Trust account *theirs* no longer; ``ParameterInvalid`` where it was not trusted."""
    with locked(folder):
        accounts = dict(_read(folder).accounts)
        if accounts.pop(theirs, None) is None:
            raise ParameterInvalid(f"account {theirs} is not trusted")
        _write(folder, accounts)


def _require_peers(ours: Account) -> None:
    if ours == LOCAL_ACCOUNT:
        raise NotReady(
            "trust needs an account of our own, and this registry made itself up on its first start: run "
            "`entrepot init --data DIR --account 12-DIGITS --region NAME` with an empty DIR"
        )


def _read(folder: Path) -> _Document:
    if not (folder / _FILE).exists():
        return _Document()
    try:
        return msgspec.json.decode(read_file(folder / _FILE), type=_Document)
    except msgspec.MsgspecError as error:
        raise Damaged(f"identity/{_FILE}: {error}") from error


def _write(folder: Path, accounts: dict[Account, _Entry]) -> None:
    write_file(folder / _FILE, msgspec.json.format(msgspec.json.encode(_Document(accounts=accounts))))
