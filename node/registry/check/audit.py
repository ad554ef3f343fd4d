"""The audit: numbers without gaps, one unbroken chain, and what the node signed of it."""

from node.registry.audit.reading import is_signed
from node.registry.check.walk import Walk
from protocol.auth.audit import Chain, entry_hash


def walk_audit(walk: Walk) -> None:
    """Follow the chain and compare it with the checkpoints; that the oldest entries went is no fault."""
    checkpoints = {}
    for key, checkpoint in walk.rows(walk.meta.audit.checkpoints):
        if len(key) != 8 or int.from_bytes(key, "big") != checkpoint.seq:
            walk.malformed("audit-checkpoints", key)
        elif checkpoint.node == walk.own.node and not is_signed(checkpoint, walk.own.verify):
            walk.tell("audit", f"checkpoint {checkpoint.seq}", "was not signed by this node")
        else:
            checkpoints[checkpoint.seq] = checkpoint.hash

    def tell(seq: int, what: str) -> None:
        walk.tell("audit", f"entry {seq}", what)

    chain = Chain(None, tell)
    for key, data in walk.all_values(walk.meta.audit.entries):
        if len(key) != 8:
            walk.malformed("audit", key)
            continue
        seq = int.from_bytes(key, "big")
        if data is None:
            chain.place = None  # Told by the walk.
            continue
        if chain.place is None and seq - 1 in checkpoints:
            chain.place = seq - 1, checkpoints[seq - 1]
        chain.add(seq, data)
        if seq in checkpoints and entry_hash(data) != checkpoints[seq]:
            tell(seq, "is not what its checkpoint says: it or one before it was changed")
