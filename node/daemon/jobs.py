"""The table of jobs: what runs beside the doors, each kept running by ``supervise``."""

from functools import partial
from random import SystemRandom

from node.config.rules import requires_authentication
from node.config.settings import Config
from node.daemon.access import root_caller
from node.daemon.heap import trim_heap_forever
from node.daemon.peering import Peering
from node.daemon.reload import Reloader
from node.daemon.supervise import Job
from node.jobs.audit import audit_forever
from node.jobs.collection import collect_forever
from node.jobs.disk import watch_disk_forever
from node.jobs.expiry import expire_forever
from node.jobs.keys import look_after_keys_forever
from node.jobs.noted import write_noted_forever
from node.jobs.repair import repair_forever
from node.jobs.scrub import DAY, Pace, scrub_forever
from node.jobs.tokenkeys import rotate_forever
from node.jobs.webhooks import deliver_forever
from node.registry.audit.writing import Keeping
from node.registry.backfillwork import run_backfills
from node.registry.deliveries import Connect
from node.registry.previews import work_out_previews
from node.registry.registry import Registry
from node.registry.replication import FOLLOWER, follow_journal
from node.registry.uploads import spare_nothing


def jobs_of(registry: Registry, peering: Peering, reloader: Reloader, connect: Connect) -> dict[str, Job]:
    """Return all jobs of a node by name; what they take from the configuration they ask for when they need it."""
    running = reloader.running
    return {
        "heap": partial(trim_heap_forever, partial(spare_nothing, registry)),
        "expiry": partial(expire_forever, registry, after=lambda: running.config.limits.upload_expiry_hours * 3600.0),
        "certificate": reloader.watch_certificate,
        "collection": partial(collect_forever, registry),
        "scrub": partial(scrub_forever, registry, lambda: _pace(running.config), SystemRandom()),
        "keys": partial(look_after_keys_forever, registry, root_caller(registry)),
        "repair": partial(repair_forever, registry),
        "disk": partial(watch_disk_forever, registry),
        "audit": partial(
            audit_forever, registry, lambda: Keeping(running.config.audit.days, running.config.audit.bytes)
        ),
        "noted": partial(write_noted_forever, registry),
        **_of_logins(registry, running.config),
        "previews": partial(work_out_previews, registry),
        "backfills": partial(run_backfills, registry),
        "webhooks": partial(deliver_forever, registry, connect, SystemRandom()),
        FOLLOWER: partial(follow_journal, registry),
        "announcer": partial(peering.announce, registry),
        "healing": partial(peering.heal, registry),
    }


def _of_logins(registry: Registry, config: Config) -> dict[str, Job]:
    if not requires_authentication(config):
        return {}
    return {"token-keys": partial(rotate_forever, registry, root_caller(registry))}


def _pace(config: Config) -> Pace:
    return Pace(config.scrub.enabled, config.scrub.interval_days * DAY, config.scrub.rate)
