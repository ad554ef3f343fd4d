"""What the registry keeps beside its repositories: documents, principals, keys, rules, each a register of fields."""

import lmdb

from node.store.table import ReadTxn, Table, WriteTxn
from protocol.sync.registers import RegisterState


class Registers:
    """key: group in ASCII, NUL, name in UTF-8 -> ``RegisterState``."""

    def __init__(self, env: "lmdb.Environment") -> None:
        self.rows = Table(env, "registers", RegisterState)

    def get(self, txn: ReadTxn, group: str, name: str) -> RegisterState | None:
        """Return what is known of a register, whether it has ended or not."""
        return self.rows.get(txn, register_key(group, name))

    def put(self, txn: WriteTxn, group: str, name: str, state: RegisterState) -> None:
        """Add or replace."""
        self.rows.put(txn, register_key(group, name), state)

    def page(
        self, txn: ReadTxn, group: str, *, prefix: str = "", after: str = "", limit: int
    ) -> list[tuple[str, RegisterState]]:
        """Return at most *limit* registers of a group by name: those that begin with *prefix*, beyond *after*."""
        start = register_key(group, prefix)
        beyond = register_key(group, after)[len(start) :] if after else b""
        rows = self.rows.items(txn, start, after=beyond, limit=limit)
        return [(key[len(group) + 1 :].decode(), state) for key, state in rows]

    def encoded(self, txn: ReadTxn, group: str, *, after: str = "", limit: int) -> list[tuple[str, bytes | None]]:
        """Return a page as ``page`` does, each state still encoded: for who keeps what became of it.

        ``None`` stands for one that is damaged: it must not hide the others, nor be taken for one that is not there.
        """
        start = register_key(group, "")
        rows = self.rows.bytes.checked(txn, after=start + after.encode(), limit=limit)
        return [
            (key[len(start) :].decode("utf-8", "replace"), body if isinstance(body, bytes) else None)
            for key, body in rows
            if key.startswith(start)
        ]

    def decoded(self, body: bytes) -> RegisterState:
        """Return the state of which *body* is the encoding."""
        return self.rows.decoded(body)


def register_key(group: str, name: str) -> bytes:
    """Return the key of a register."""
    return group.encode("ascii") + b"\0" + name.encode()
