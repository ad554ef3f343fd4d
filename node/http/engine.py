"""What every connection is given: the application, the limits, and whom to tell what happened."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from secrets import token_hex
from typing import TypeAlias

import trio

from node.http.census import Census
from node.http.failures import Rejected
from node.http.limits import Hit, Limits
from node.http.message import Application, Observe, Trusts
from node.http.runs import Senders
from node.http.sendqueue import SendQueues
from node.http.target import host_name
from node.http.transport import Transport
from node.http.waiting import Waiting

Report: TypeAlias = Callable[[Exception], None]
"""Logs a bug of ours, with its traceback."""

_PREFIX = token_hex(4)
_numbers = count(1)


def request_id() -> str:
    """Return a name for a request that no other process and no other request has."""
    return f"{_PREFIX}-{next(_numbers):x}"


@dataclass(frozen=True, slots=True)
class Engine:
    """The living parts that the connections of one server share."""

    application: Application
    limits: Limits
    observe: Observe
    trusts: Trusts
    hit: Hit
    report: Report
    stopping: trio.Event
    census: Census
    queues: SendQueues
    senders: Senders
    waiting: Waiting = field(default_factory=Waiting)
    endings: dict[Transport, Callable[[], None]] = field(default_factory=dict)
    """What to call on each open connection when the server stops: ends it soon if it is idle."""


def refuse_foreign(hosts: frozenset[str], host: str, headers: dict[str, str]) -> None:
    """Raise ``Rejected`` where a page of another site makes the browser ask an open node (DNS rebinding, CSRF).

    *hosts* are the names by which this node is known. A browser sends the name that it resolved as ``Host`` and the
    page's own as ``Origin``; neither can be forged by a page.
    """
    origin = headers.get("origin")
    if (
        host_name(host) not in hosts
        or headers.get("sec-fetch-site") == "cross-site"
        or (origin is not None and host_name(origin.partition("://")[2]) not in hosts)
    ):
        raise Rejected(403, "an open node is not for other sites; name this host in the configuration to allow it")
