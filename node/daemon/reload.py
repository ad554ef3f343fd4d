"""Taking over a changed configuration and certificate while the node runs: all of it, or nothing.

Theory of operation
===================
Everything that can be wrong is found before anything is changed: the file is read and checked as at the start, and the
certificate and its key are read once and tried. Then each part is given its new settings in one step of the loop, so
nobody sees half of them. What is under way keeps what it began with: connections their limits and certificate,
requests their rules. What cannot change while a node runs is told by its key.

Where it fails, the old configuration stays in force, the reason goes to whoever asked and to the log, and an alarm
stays until a reload succeeds: the file on the disk is not what the node runs with, and its next start would fail.

A certificate is also looked at once a minute, for whoever renews it without telling (certbot, cert-manager). A pair
that does not fit may be half written, so it is taken for a fault only when it is the same a minute later.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog
import trio

from node.api.admin.control import Reloaded
from node.config.live import Changes, changes, in_force
from node.config.load import ConfigInvalid
from node.config.settings import Config
from node.daemon.certificate import ClientCertificate, read_certificate
from node.telemetry.alarms import Alarms
from protocol.errors import NotReady, ReloadRefused

CERTIFICATE_INTERVAL = 60.0  # Seconds between two looks at the certificate's files.

Put: TypeAlias = Callable[[Config], None]
"""Puts what concerns one part of the node in force; it cannot fail, and is quick."""

log = structlog.get_logger()


@dataclass(slots=True)
class Running:
    """The configuration in force, which outlives a store that is opened anew."""

    config: Config
    read: Callable[[], Config]
    """Reads file and environment anew; raises ``ConfigInvalid``."""
    restart: tuple[str, ...] = ()
    """Keys that the file says otherwise than what is in force."""


@dataclass(slots=True)
class Reloader:
    """Reloads one node, one reload after the other."""

    running: Running
    certificate: ClientCertificate
    alarms: Alarms
    parts: list[Put] = field(default_factory=list)
    _one: trio.Lock = field(default_factory=trio.Lock)
    _fault: str = ""  # Of the certificate, as it was found at the last look.

    async def reload(self) -> Reloaded:
        """Take over what has changed.

        Raises:
            ReloadRefused: something is wrong with the file or the certificate; nothing has changed.
        """
        async with self._one:
            try:
                config = await trio.to_thread.run_sync(self.running.read)
                changed = changes(self.running.config, config)
                next_one = in_force(self.running.config, config)
                pair = await trio.to_thread.run_sync(read_certificate, next_one.listen)
                if config.listen != next_one.listen:  # What the next start would read has to be right as well.
                    await trio.to_thread.run_sync(read_certificate, config.listen)
            except (ConfigInvalid, NotReady) as error:
                log.error("reload refused", reason=str(error))  # noqa: TRY400 - the message says it all.
                self.alarms.raise_("reload-refused", str(error))
                raise ReloadRefused(f"nothing was changed: {error}") from error
            is_new = pair is not None and self.certificate.replace(pair)
            self.running.config, self.running.restart = next_one, changed.restart
            self.put()
            self.alarms.clear("reload-refused")
            return _told(changed, is_new=is_new)

    def put(self) -> None:
        """Put the configuration in force wherever something depends on it."""
        for put in self.parts:
            put(self.running.config)

    async def watch_certificate(self) -> None:
        """Take over a certificate that was replaced, for ever."""
        while True:
            await trio.sleep(CERTIFICATE_INTERVAL)
            await self.look_at_certificate()

    async def look_at_certificate(self) -> None:
        """Take over a certificate that was replaced; raise the alarm at the second look that finds the same fault."""
        async with self._one:
            try:
                pair = await trio.to_thread.run_sync(read_certificate, self.running.config.listen)
            except NotReady as error:
                if self._fault == str(error):
                    self.alarms.raise_("certificate-refused", self._fault)
                self._fault = str(error)
                return
            self._fault = ""
            self.alarms.clear("certificate-refused")
            if pair is not None and self.certificate.replace(pair):
                log.info("certificate replaced")


def _told(changed: Changes, *, is_new: bool) -> Reloaded:
    done = Reloaded(changed.live, changed.restart, is_new)
    log.info("reloaded", applied=done.applied, certificate=is_new)
    if done.restart:
        log.warning("needs a restart", keys=done.restart)
    return done
