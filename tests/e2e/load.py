"""Mixed load for hours: each kind of client is a thread that does one thing after the other, at its own pace.

Faults are announced in ``Weather``: a request that fails while one is under way, or soon after, is nothing; one that
fails in fine weather is a problem, and ends up in ``problems``.
"""

import http.client
import json
import socket
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import h2.config
import h2.connection

from tests.e2e.images import MANIFEST, Blob, Image, make_image
from tests.e2e.processes import environment
from tests.e2e.pushes import Client, Unexpected
from tests.e2e.servers import Server, command, run

BROKEN = (OSError, http.client.HTTPException)
CONVERGED = 90.0  # Seconds after a push, or a fault, in which an image has to be at B: 60 and its transfer.
AFTERMATH = 20.0  # Seconds after a fault in which requests may still fail: connections that stood are found dead.


@dataclass(slots=True)
class Weather:
    """Which faults were under way when, and what failed in between."""

    problems: list[str] = field(default_factory=list)
    faults: list[tuple[str, float, float]] = field(default_factory=list)  # What, from, to.
    under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def fault(self, what: str) -> Iterator[None]:
        """Say that there is one for the length of the block."""
        start = time.monotonic()
        with self.lock:
            self.under_way += 1
        try:
            yield
        finally:
            with self.lock:
                self.under_way -= 1
                self.faults.append((what, start, time.monotonic()))

    def is_fine(self, start: float, *, aftermath: float = AFTERMATH) -> bool:
        """Whether there was no fault since *start*, nor *aftermath* seconds before."""
        with self.lock:
            return not self.under_way and not any(end + aftermath > start for _, _, end in self.faults)


class Load(threading.Thread):
    """Calls *act* again and again, *pace* seconds apart, until *stopping*; ``done`` is how often that went well."""

    def __init__(
        self, name: str, weather: Weather, stopping: threading.Event, pace: float, act: Callable[[], object]
    ) -> None:
        super().__init__(daemon=True, name=name)
        self.done = 0
        self._weather, self._stopping, self._pace, self._act = weather, stopping, pace, act

    def run(self) -> None:
        """Act, and look at what fails in the light of the weather."""
        while not self._stopping.wait(self._pace):
            start = time.monotonic()
            try:
                self._act()
                self.done += 1
            except (*BROKEN, Unexpected) as error:
                if self._weather.is_fine(start):
                    self._weather.problems.append(f"{self.name}: {error!r}")
            except Exception:  # noqa: BLE001 - told at the end; the others go on
                self._weather.problems.append(f"{self.name}: {traceback.format_exc()}")


class Browser:
    """A client for one thread, which dials again after an error; the thread that ends it closes it."""

    def __init__(self, server: Callable[[], Server]) -> None:
        self._server = server
        self._client: Client | None = None

    def close(self) -> None:
        """Close the connection; the next loan dials again."""
        if self._client is not None:
            self._client.close()
        self._client = None

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Lend the client; it is thrown away where the block fails."""
        if self._client is None:
            self._client = Client(self._server())
        try:
            yield self._client
        except BaseException:
            self.close()
            raise


class Replicated:
    """Pushes images of one repository to A, deletes some, and compares what B has of the others."""

    def __init__(self, repository: str, a: Browser, b: Browser, weather: Weather, random: Random) -> None:
        self.repository, self._a, self._b, self._weather, self._random = repository, a, b, weather, random
        self.pushed: dict[str, Image] = {}
        self._when: dict[str, float] = {}

    def push(self) -> None:
        """Push one; now and then delete one, taken out of what is compared before it is asked for."""
        image = make_image(self._random.getrandbits(64), layers=self._random.choices((100, 20_000, 1_200_000), k=2))
        tag = image.manifest.digest[7:23]
        with self._a.client() as client:
            client.put_image(self.repository, tag, image)
            self.pushed[tag], self._when[tag] = image, time.monotonic()
            client.put_manifest(self.repository, "latest", image.manifest)
            if len(self.pushed) > 100 and self._random.random() < 0.5:
                gone = self.pushed.pop(self._random.choice(list(self.pushed)))
                client.delete(f"/v2/{self.repository}/manifests/{gone.manifest.digest}")

    def pull_at_b(self) -> None:
        """Pull one that was pushed long ago, and was not there long after the last fault."""
        old = [tag for tag in list(self.pushed) if time.monotonic() - self._when[tag] > CONVERGED]
        if not old:
            return
        tag = self._random.choice(old)
        image = self.pushed.get(tag)
        with self._b.client() as client:
            found = client.get_manifest(self.repository, tag)
            if image is None or tag not in self.pushed:
                return  # It was deleted meanwhile.
            if found is None and not self._weather.is_fine(time.monotonic(), aftermath=CONVERGED):
                return
            assert found == image.manifest.data, f"{tag} at B is {found!r}"
            for blob in image.blobs:
                assert client.get_blob(self.repository, blob.digest) in {blob.data, None}, "other bytes"


class Ranges:
    """Reads pieces of one large blob, and compares them."""

    def __init__(self, repository: str, blob: Blob, browser: Browser, random: Random) -> None:
        self._path = f"/v2/{repository}/blobs/{blob.digest}"
        self._data, self._browser, self._random = blob.data, browser, random

    def read(self) -> None:
        """Read a piece."""
        start = self._random.randrange(len(self._data))
        end = min(len(self._data), start + self._random.choice((1, 1000, 100_000, 2_000_000))) - 1
        with self._browser.client() as client:
            answer = client.call("GET", self._path, Range=f"bytes={start}-{end}")
        if answer.status != 206:
            raise Unexpected(answer, (206,))
        assert answer.body == self._data[start : end + 1], f"other bytes in {start}-{end}"


def read_slowly(server: Server, path: str, data: bytes, *, rate: float, stopping: threading.Event) -> None:
    """Read a blob at *rate* bytes a second: right bytes, to the end or until the connection breaks."""
    piece = 65_536
    with socket.create_connection((server.host, server.port), 30) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, piece)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {server.address}\r\nConnection: close\r\n\r\n".encode())
        response = http.client.HTTPResponse(sock, method="GET")
        response.begin()
        if response.status != 200:
            raise ConnectionError(f"{response.status} for {path}")
        read = 0
        while part := response.read(piece):
            assert part == data[read : read + len(part)], f"other bytes at {read} of {path}"
            read += len(part)
            if stopping.wait(piece / rate):
                return
        if read != len(data):
            raise ConnectionError(f"{read} of {len(data)} bytes of {path}")


def abort_upload(server: Server, repository: str, random: Random) -> None:
    """Begin an upload, send a part of what was announced, and reset the connection."""
    client = Client(server)
    upload = client.open_upload(repository)
    client.close()
    with socket.create_connection((server.host, server.port), 10) as sock:
        head = f"PATCH {upload} HTTP/1.1\r\nHost: {server.address}\r\nContent-Length: 3000000\r\n\r\n"
        sock.sendall(head.encode() + random.randbytes(random.choice((0, 100, 1_500_000))))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class Artifacts:
    """Pushes an image and what refers to it, asks for the referrers, and deletes the image."""

    def __init__(self, repository: str, browser: Browser, random: Random) -> None:
        self._repository, self._browser, self._random = repository, browser, random

    def act(self) -> None:
        """Do all of it once."""
        image = make_image(self._random.getrandbits(64), layers=(100,))
        subject = {"subject": image.manifest.descriptor()}
        text = json.dumps(json.loads(image.manifest.data) | {"artifactType": "application/x.test"} | subject)
        artifact = Blob(MANIFEST, text.encode())
        with self._browser.client() as client:
            client.put_image(self._repository, "image", image)
            client.put_manifest(self._repository, artifact.digest, artifact)
            answer = client.call("GET", f"/v2/{self._repository}/referrers/{image.manifest.digest}")
            found = {one["digest"] for one in json.loads(answer.body)["manifests"]}
            assert artifact.digest in found, f"{found} without the referrer"
            client.delete(f"/v2/{self._repository}/manifests/{image.manifest.digest}")
            client.delete(f"/v2/{self._repository}/manifests/{artifact.digest}")


def copy_image(server: Server, source: str, target: str) -> None:
    """Copy an image with skopeo, a real client."""
    flags = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    command = [
        "timeout",
        "120",
        "skopeo",
        "copy",
        *flags,
        f"docker://{server.address}/{source}",
        f"docker://{server.address}/{target}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(HOME="/"))
    if done.returncode:
        raise ConnectionError(done.stderr[-300:])


class Operator:
    """Runs the commands that people and timers run on a node that serves, one after the other."""

    def __init__(self, data: Path, backup: Path) -> None:
        known = command("--help")
        # No doctor: it is right to fail where the clock is set all the time.
        wanted = [
            ["du"],
            ["repo", "ls"],
            ["replication", "status"],
            ["scrub"],
            ["top", "--once"],
            ["backup", str(backup)],
        ]
        self._commands = [one for one in wanted if f"  {one[0]} " in known]
        self._data, self._number = data, 0

    def act(self) -> None:
        """Run the next one."""
        now = self._commands[self._number % len(self._commands)]
        self._number += 1
        done = run(*now, "--data", self._data, patience=300)
        if done.returncode:
            raise ConnectionError(f"entrepot {' '.join(now)}: {done.returncode} {done.stderr[-300:]}")


def attack(server: Server, random: Random) -> None:
    """One of the things that hostile clients do; whatever the node does to the connection is right."""
    kind = random.choice((_garbage, _long_head, _slow_heads, _rapid_reset, _no_window, _half_hello))
    with socket.create_connection((server.host, server.port), 5) as sock:
        sock.settimeout(3)
        with suppress(OSError):  # Cut off.
            kind(server, sock, random)


def _garbage(_server: Server, sock: socket.socket, random: Random) -> None:
    sock.sendall(random.randbytes(5000))
    sock.recv(1000)


def _long_head(_server: Server, sock: socket.socket, _random: Random) -> None:
    sock.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000)
    sock.recv(1000)


def _slow_heads(server: Server, _sock: socket.socket, _random: Random) -> None:
    held = [socket.create_connection((server.host, server.port), 5) for _ in range(50)]
    for sock in held:
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nX-Slow:")
    threading.Event().wait(1)
    for sock in held:
        sock.close()


def _rapid_reset(server: Server, sock: socket.socket, _random: Random) -> None:
    client = _h2(sock)
    for _ in range(300):
        stream = client.get_next_available_stream_id()
        client.send_headers(stream, _h2_get(server, "/v2/"), end_stream=True)
        client.reset_stream(stream)
        sock.sendall(client.data_to_send())


def _no_window(server: Server, sock: socket.socket, _random: Random) -> None:
    client = _h2(sock)
    client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
    for _ in range(50):
        client.send_headers(client.get_next_available_stream_id(), _h2_get(server, "/metrics"), end_stream=True)
    sock.sendall(client.data_to_send())
    threading.Event().wait(2)


def _half_hello(_server: Server, sock: socket.socket, _random: Random) -> None:
    sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    sock.recv(1000)


def _h2(sock: socket.socket) -> h2.connection.H2Connection:
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    sock.sendall(client.data_to_send())
    return client


def _h2_get(server: Server, path: str) -> list[tuple[str, str]]:
    return [(":method", "GET"), (":scheme", "http"), (":authority", server.address), (":path", path)]
