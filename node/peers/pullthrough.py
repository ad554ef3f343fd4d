"""Pull-through from another registry of the federation: what is not here comes from there, and is kept.

The manifest comes whole and is compared with its digest; each blob is served while it arrives (``registry.transit``).
"""

from contextlib import suppress

import structlog
import trio

from node.peers.fetch import Fetcher
from node.peers.images import ask_manifest
from node.registry.blobs import find_blob
from node.registry.elsewhere import OpenBlob, StoredManifest
from node.registry.freshness import is_stale, put_checked
from node.registry.images import prepare_manifest
from node.registry.pullthrough import Upstreams
from node.registry.receiving import into_repository, keep_manifest, show_blob
from node.registry.registry import Registry
from node.registry.transit import Transit
from protocol.auth.caller import Caller
from protocol.errors import BlobUnknown, Busy, Denied, DigestInvalid, ManifestInvalid, NoSource, PeerFault, Refusal
from protocol.events.event import Arrival
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName, TagName
from protocol.oci.reference import is_digest

WINDOW = 60.0  # Seconds for which a tag that was pulled through is served without asking.
PATIENCE = 5.0  # Seconds that a pull waits for the answer.

log = structlog.get_logger()


class PullThrough:
    """Looks elsewhere for this node; its functions are those of ``registry.elsewhere.Elsewhere``."""

    def __init__(self, fetcher: Fetcher, nursery: trio.Nursery) -> None:
        self._fetcher = fetcher
        self._nursery = nursery
        self._upstreams = Upstreams()
        self._comparing: set[tuple[RepositoryName, TagName]] = set()

    async def manifest(
        self, registry: Registry, caller: Caller, name: RepositoryName, reference: TagName | Digest
    ) -> StoredManifest | None:
        """Return a manifest of the upstream, kept here from now on; ``None`` where no rule or no manifest is.

        Raises:
            NoSource: the upstream cannot be reached, or sent what it should not.
        """
        upstream = self._upstreams.rule(registry, name)
        if upstream is None:
            return None
        rule, source, there = upstream
        try:
            registry.authorize(caller, "ecr:BatchImportUpstreamImage", name)
            sent = await ask_manifest(self._fetcher, source, there, reference)
            wanted = reference if is_digest(reference) else sent.digest
            prepared = await prepare_manifest(sent.data, sent.media_type, wanted, reading=registry.incoming.reading)
        except (BlobUnknown, Denied):  # To who may not import it, it is as if it were not there.
            return None
        except (PeerFault, DigestInvalid, ManifestInvalid) as error:
            log.warning("pull-through failed", repository=name, source=str(source), reason=str(error))
            raise NoSource(f"{source} sent a manifest that is none") from error
        tag = None if is_digest(reference) else TagName(reference)
        arrival = Arrival("pull-through", str(source), rule.prefix)
        try:
            await keep_manifest(registry, caller, name, prepared, blobs=sent.blobs, tag=tag, arrival=arrival)
        except Denied:  # The repository is not here, and the caller may not create it.
            return None
        return StoredManifest(prepared.digest, prepared.manifest.media_type, prepared.data)

    async def refresh(
        self, registry: Registry, caller: Caller, name: RepositoryName, tag: TagName, digest: Digest
    ) -> StoredManifest | None:
        """Return what *tag* points at by now, where it was pulled through and has moved; ``None`` else.

        Whatever keeps the upstream from answering, what is here is served: once in ``WINDOW`` one pull waits for it.
        """
        upstream = self._upstreams.of(registry, name)
        key = name, tag
        if upstream is None or key in self._comparing or not is_stale(registry, name, tag, window=WINDOW):
            return None
        self._comparing.add(key)
        try:
            with trio.move_on_after(PATIENCE):
                found = await self._compared(registry, caller, name, tag, digest)
                if found is not None:
                    return found
        except (Refusal, PeerFault) as error:
            log.info("served from the cache", repository=name, tag=tag, reason=str(error))
        finally:
            self._comparing.discard(key)
        with suppress(Busy):  # The disk is full or failed: pulls go on, and the next one asks again.
            await put_checked(registry, name, tag)
        return None

    async def _compared(
        self, registry: Registry, caller: Caller, name: RepositoryName, tag: TagName, digest: Digest
    ) -> StoredManifest | None:
        upstream = self._upstreams.of(registry, name)
        if upstream is None:
            return None
        sent = await ask_manifest(self._fetcher, *upstream, tag)
        return None if sent.digest == digest else await self.manifest(registry, caller, name, tag)

    async def blob(self, registry: Registry, caller: Caller, name: RepositoryName, digest: Digest) -> OpenBlob | None:
        """Return a blob of the upstream as it arrives, kept here from now on; ``None`` where no rule or no blob is.

        Raises:
            NoSource: the upstream cannot be reached, or sent what it should not.
        """
        upstream = self._upstreams.of(registry, name)
        if upstream is None:
            return None
        source, there = upstream
        try:
            registry.authorize(caller, "ecr:BatchImportUpstreamImage", name)
            into = into_repository(registry, name)
            copy = into.copy(digest)
            transit = registry.transits.get(copy)
            if transit is not None or registry.transits.is_here(copy):
                await self._fetcher.map_of(source, there, digest)  # It says that this repository may have it.
            transit = await self._fetcher.blob(source, there, digest, None, into)
        except (BlobUnknown, Denied):
            return None
        except PeerFault as error:
            log.warning("pull-through failed", blob=digest, source=str(source), reason=str(error))
            raise NoSource(f"{source} sent a chunk map that is none") from error
        if transit is None:
            await show_blob(registry, name, digest)
            return find_blob(registry, name, digest)
        self._nursery.start_soon(_show_when_here, registry, transit, name)
        return transit.open()


async def _show_when_here(registry: Registry, transit: Transit, name: RepositoryName) -> None:
    await transit.ended.wait()
    if not transit.failure:
        try:
            await show_blob(registry, name, transit.blob.digest)
        except Busy as refusal:  # It stays for a day; the next pull shows it.
            log.warning("pulled through, not shown", blob=transit.blob.digest, reason=str(refusal))
