"""A receiver of webhooks on loopback that verifies each signature, remembers what came, and fails as it is told to.

It is what a user would write: the check of the signature is that of docs/events.md.
"""

import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from tests.e2e.certificates import Certificates

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, no more").decode()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request that was taken."""

    headers: dict[str, str]
    event: dict[str, Any]

    @property
    def repository(self) -> str:
        return str(self.event["detail"]["repository-name"])

    @property
    def tag(self) -> str:
        return str(self.event["detail"].get("image-tag", ""))


Answer: TypeAlias = tuple[int, dict[str, str]]
"""Status and headers."""

Decide: TypeAlias = Callable[[Delivery], Answer]


def take(_delivery: Delivery) -> Answer:
    """Take everything."""
    return 204, {}


@dataclass(slots=True)
class Receiver:
    """What came, in the order in which it was taken."""

    port: int = 0
    decide: Decide = take
    deliveries: list[Delivery] = field(default_factory=list)
    refused: int = 0
    forged: list[str] = field(default_factory=list)  # Requests whose signature is wrong: paths.
    other: list[str] = field(default_factory=list)  # Requests that are no POST: paths.
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tags(self) -> dict[str, list[str]]:
        """Return the tags that were taken, by repository."""
        found: dict[str, list[str]] = defaultdict(list)
        with self.lock:
            for one in self.deliveries:
                found[one.repository].append(one.tag)
        return found


def is_genuine(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As in docs/events.md."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    stamp = headers["webhook-timestamp"]
    signed = f"{headers['webhook-id']}.{stamp}.".encode() + body
    right = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    given = headers["webhook-signature"].split(" ")
    return abs(time.time() - int(stamp)) < 300 and any(hmac.compare_digest(right, one) for one in given)


@contextmanager
def receiving(secret: str = SECRET, *, certificates: Certificates | None = None) -> Iterator[Receiver]:
    """Run a receiver for the length of a block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if not is_genuine(secret, headers, body):
                receiver.forged.append(self.path)
            delivery = Delivery(headers, json.loads(body))
            status, more = receiver.decide(delivery)
            with receiver.lock:
                if 200 <= status < 300 and delivery.event.get("detail-type") != "Entrepot Webhook Test":
                    receiver.deliveries.append(delivery)
                else:
                    receiver.refused += 1
            self.send_response(status)
            for name, value in {"content-length": "0", **more}.items():
                self.send_header(name, value)
            self.end_headers()

        def do_GET(self) -> None:
            receiver.other.append(self.path)
            self.send_error(405)

        do_HEAD = do_PUT = do_GET  # noqa: N815 - the library's names.

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A node that is killed breaks its connections: that is no news."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if certificates is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificates.certificate, certificates.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
