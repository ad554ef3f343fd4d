"""The table of jobs: what runs beside the doors, each kept running by ``supervise``."""

from functools import partial

from node.config.settings import Config
from node.daemon.heap import trim_heap_forever
from node.daemon.peering import Peering
from node.daemon.supervise import Job
from node.jobs.collection import collect_forever
from node.jobs.disk import watch_disk_forever
from node.jobs.expiry import expire_forever
from node.registry.registry import Registry
from node.registry.replication import FOLLOWER, follow_journal
from node.registry.uploads import spare_nothing


def jobs_of(config: Config, registry: Registry, peering: Peering) -> dict[str, Job]:
    """Return all jobs of a node by name."""
    return {
        "heap": partial(trim_heap_forever, partial(spare_nothing, registry)),
        "expiry": partial(expire_forever, registry, after=config.limits.upload_expiry_hours * 3600.0),
        "collection": partial(collect_forever, registry),
        "disk": partial(watch_disk_forever, registry),
        FOLLOWER: partial(follow_journal, registry),
        "announcer": partial(peering.announce, registry),
    }
