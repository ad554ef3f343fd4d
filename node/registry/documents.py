"""Documents of the registry, each a register with one text: policies and configurations, as they were given."""

from node.registry.commit import commit_rules
from node.registry.registers import register, register_put
from node.registry.registry import Registry
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act
from protocol.sync.entries import RegisterPut

GROUP = "document"
TEXT = "text"
"""The field that holds the document."""
SET = "set"
"""The field that says when it was put: milliseconds since 1970."""

REGISTRY_POLICY = "registry-policy"
SCANNING = "scanning"
SIGNING = "signing"
REPLICATION = "replication"
PUBLIC_CATALOG = "public-catalog"


def document(registry: Registry, txn: ReadTxn, name: str) -> str | None:
    """Return a document as it was put, or ``None``."""
    text = (register(registry, txn, GROUP, name) or {}).get(TEXT)
    return text if isinstance(text, str) else None


def document_put(registry: Registry, txn: ReadTxn, act: Act, name: str, text: str | None) -> RegisterPut:
    """Return the entry that replaces a document; with ``None`` it is taken away."""
    fields = {TEXT: text, SET: None if text is None else int(registry.now() * 1000)}
    return register_put(registry, txn, act, GROUP, name, fields)


async def put_document(registry: Registry, act: Act, name: str, text: str) -> None:
    """Replace a document; who asks was allowed to before."""

    def run(txn: WriteTxn) -> None:
        entry = document_put(registry, txn, act, name, text)
        commit_rules(registry, txn, act, lambda _dot, _hlc: [entry])

    await registry.store.writer.write(run)
    registry.changes.notify()


async def take_document(registry: Registry, act: Act, name: str) -> str | None:
    """Take a document away and return it, ``None`` where there is none; who asks was allowed to before."""

    def run(txn: WriteTxn) -> str | None:
        text = document(registry, txn, name)
        if text is not None:
            entry = document_put(registry, txn, act, name, None)
            commit_rules(registry, txn, act, lambda _dot, _hlc: [entry])
        return text

    text = await registry.store.writer.write(run)
    registry.changes.notify()
    return text
