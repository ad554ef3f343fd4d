"""All checks of a data directory that no node serves, or whose node does not answer."""

import time
from pathlib import Path

from node.config.settings import Config
from node.daemon.certificate import read_certificate
from node.daemon.doctor.checks import Check, fail, ok, warn
from node.daemon.doctor.configuration import check_certificates, check_configuration
from node.daemon.doctor.disk import check_disk
from node.daemon.doctor.machine import check_clock, check_limits, check_network
from node.daemon.expiry import Expiry
from node.peers.identity import has_identity, load_identity
from node.registry.commit import stored_clock
from node.store.store import open_stopped
from node.telemetry.usage import descriptors, memory
from protocol.errors import Damaged, NotReady
from protocol.sync.clock import stamp_ms


def examine_stopped(config: Config) -> list[Check]:
    """Look at what a node with *config* would find. Limits are those of whoever calls."""
    data = Path(config.node.data)
    if not data.is_dir():
        return [fail("store", "directory", f"{data} is not there", "name the data directory of a node with --data")]
    store, seen = _store(data)
    expires = _certificates(config, data)
    return [
        *store,
        *check_disk(data),
        *check_clock(time.time(), seen),
        *check_limits(descriptors(), memory(), connections=config.limits.connections),
        *check_network(),
        *expires,
        *check_configuration(config, ()),
    ]


def _store(data: Path) -> tuple[list[Check], float]:
    if not (data / "FORMAT").exists():
        return [warn("store", "format", f"there is no store in {data} yet", "`entrepot serve` makes one")], 0.0
    try:
        with open_stopped(data) as store, store.meta.read() as txn:
            seen = stamp_ms(stored_clock(lambda name: store.meta.documents.number(txn, name)).ceiling) / 1000
            records = store.meta.journal.last(txn)
    except NotReady as refusal:
        # The refusal says what to do, but for a node that holds the store and has nothing to say.
        return [
            fail("store", "open", str(refusal), "as it says; where a node runs and does not answer, see its log")
        ], 0.0
    except Damaged as error:
        return [fail("store", "open", str(error), "restore it from a backup")], 0.0
    return [ok("store", "open", f"format {(data / 'FORMAT').read_text().strip()}, {records} records")], seen


def _certificates(config: Config, data: Path) -> list[Check]:
    now = time.time()
    found: list[Check] = []
    try:
        if has_identity(data) and not load_identity(data).is_local:
            found += check_certificates({"peers": Expiry(data / "identity/node.pem").at()}, now)
    except (NotReady, Damaged) as error:
        found.append(fail("certificates", "peers", str(error), "restore the folder identity from a backup"))
    try:
        if read_certificate(config.listen) is not None:
            found += check_certificates({"clients": Expiry(Path(config.listen.tls_certificate or "")).at()}, now)
    except NotReady as refusal:
        found.append(fail("certificates", "clients", str(refusal), "put a certificate and its key in place"))
    return found
