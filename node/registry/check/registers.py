"""Registers: each by itself, and in the fingerprints."""

from node.registry.check.walk import FINGERPRINTS, Walk
from node.registry.state import register_place
from protocol.errors import ParameterInvalid
from protocol.sync.entries import register_name
from protocol.sync.fingerprint import entry_hash, leaf


def walk_registers(walk: Walk) -> None:
    """Look at each document, principal, key and rule."""
    for key, state in walk.rows(walk.meta.registers.rows, FINGERPRINTS):
        group, _, name = key.partition(b"\0")
        try:
            register_name(group.decode("ascii"), name.decode())
        except (ParameterInvalid, UnicodeDecodeError):
            walk.malformed("registers", key)
            continue
        place = register_place(group.decode(), name.decode())
        entry = entry_hash(place, state)
        if entry is not None:
            walk.sums.add(leaf(place), entry)
