"""A reload takes over all of it or nothing, and says what it did."""

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import structlog.testing
import trio
import trio.lowlevel
from cryptography.hazmat.primitives import serialization
from trio.testing import MockClock

from node.config.load import load
from node.config.settings import Config
from node.daemon.certificate import ClientCertificate, read_certificate
from node.daemon.reload import CERTIFICATE_INTERVAL, Reloader, Running
from node.telemetry.alarms import Alarms
from protocol.errors import NotReady, ReloadRefused
from tests.e2e.certificates import make_certificates


class Node:
    """A node whose configuration is a file, and what its parts were given."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "node.toml"
        first = make_certificates(folder / "first")
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self.certificate.write_bytes(first.certificate.read_bytes())
        self.key.write_bytes(first.key.read_bytes())
        self.write()
        self.put: list[Config] = []
        running = Running(self.read(), self.read)
        self.reloader = Reloader(
            running, ClientCertificate(running.config.listen), Alarms(lambda: 0.0), [self.put.append]
        )

    def write(self, more: str = "") -> None:
        self.file.write_text(f'[listen]\ntls_certificate = "{self.certificate}"\ntls_key = "{self.key}"\n{more}')

    def read(self) -> Config:
        return load(self.file, {}, {})

    def shown(self) -> bytes:
        """The certificate that a client sees now."""
        context = self.reloader.certificate.context
        assert context is not None
        ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(ours, theirs, server_side=True)
        anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        client = anyone.wrap_bio(theirs, ours)
        for _ in range(4):
            for side in (client, server):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
        return client.getpeercert(binary_form=True) or b""

    def alarms(self) -> dict[str, str]:
        return {alarm.name: alarm.what for alarm in self.reloader.alarms.raised()}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def test_what_changed_is_put_in_force_and_what_cannot_be_is_told(node: Node) -> None:
    node.write('address = ["127.0.0.1:1"]\n[limits]\ngrace = 7\n')
    done = await node.reloader.reload()
    assert (done.applied, done.restart, done.certificate) == (("limits.grace",), ("listen.address",), False)
    [config] = node.put
    assert (config.limits.grace, config.listen.address) == (7.0, ("127.0.0.1:5000",))
    again = await node.reloader.reload()
    assert (again.applied, again.restart) == ((), ("listen.address",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limits]\ngrace = 'soon'\n", "line 5"),
        ("[limits]\ngrce = 7\n", "did you mean limits.grace"),
        ("[limits\n", "not TOML"),
        ('advertise = "a:1"\n', "nothing to advertise"),
    ],
)
async def test_a_fault_in_the_file_changes_nothing(node: Node, text: str, said: str) -> None:
    node.write(text)
    before = node.reloader.running.config
    with structlog.testing.capture_logs() as logs, pytest.raises(ReloadRefused, match=said):
        await node.reloader.reload()
    assert (node.put, node.reloader.running.config) == ([], before)
    assert [log["event"] for log in logs if log["event"] == "reload refused"]
    assert said in node.alarms()["reload-refused"]
    node.write()
    await node.reloader.reload()
    assert not node.alarms()


async def test_a_new_certificate_is_shown_from_the_next_handshake_on(node: Node, tmp_path: Path) -> None:
    before, second = node.shown(), make_certificates(tmp_path / "second")
    node.certificate.write_bytes(second.certificate.read_bytes())
    node.key.write_bytes(second.key.read_bytes())
    assert (await node.reloader.reload()).certificate
    assert node.shown() == ssl.PEM_cert_to_DER_cert(second.certificate.read_text()) != before
    assert not (await node.reloader.reload()).certificate  # It is the one that is shown.


async def test_a_certificate_that_only_the_next_start_would_read_has_to_be_good(node: Node) -> None:
    node.reloader.running.config = Config()  # Started without TLS.
    assert {"listen.tls_certificate", "listen.tls_key"} == set((await node.reloader.reload()).restart)
    node.key.unlink()
    with pytest.raises(ReloadRefused, match=node.key.name):
        await node.reloader.reload()
    assert "reload-refused" in node.alarms()


@pytest.mark.parametrize("half", ["certificate", "key", "cut", "empty", "gone", "protected"])
async def test_a_pair_that_is_not_one_leaves_the_old_one(node: Node, tmp_path: Path, half: str) -> None:
    before, second = node.shown(), make_certificates(tmp_path / "second")
    match half:
        case "certificate":
            node.certificate.write_bytes(second.certificate.read_bytes())
        case "key":
            node.key.write_bytes(second.key.read_bytes())
        case "cut":
            node.certificate.write_bytes(node.certificate.read_bytes()[:300])
        case "empty":
            node.key.write_bytes(b"")
        case "gone":
            node.key.unlink()
        case _:
            key = serialization.load_pem_private_key(node.key.read_bytes(), None)
            node.key.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.BestAvailableEncryption(b"secret"),
                )
            )
    node.write("[limits]\ngrace = 7\n")
    with pytest.raises(ReloadRefused, match=r"tls\.(crt|key)"):
        await node.reloader.reload()
    assert node.shown() == before
    assert (node.put, node.reloader.running.config.limits.grace) == ([], 20.0)


async def test_two_reloads_at_once_come_one_after_the_other(node: Node) -> None:
    node.write("[limits]\ngrace = 7\n")
    done: list[tuple[str, ...]] = []

    async def reload() -> None:
        done.append((await node.reloader.reload()).applied)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reload)
        nursery.start_soon(reload)
    assert sorted(done) == [(), ("limits.grace",)]


async def test_a_certificate_that_is_renewed_without_a_word_is_taken_once_it_is_whole(
    node: Node, tmp_path: Path
) -> None:
    second = make_certificates(tmp_path / "second")
    before = node.shown()
    node.certificate.write_bytes(second.certificate.read_bytes())  # Half of it is there ...
    await node.reloader.look_at_certificate()
    assert (node.shown(), node.alarms()) == (before, {})  # ... and may become whole.
    await node.reloader.look_at_certificate()
    assert "the key is not that of the certificate" in node.alarms()["certificate-refused"]
    node.key.write_bytes(second.key.read_bytes())
    await node.reloader.look_at_certificate()
    assert node.shown() != before
    assert node.alarms() == {}


async def test_it_is_looked_for_each_minute(
    node: Node, tmp_path: Path, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    before, second = node.shown(), make_certificates(tmp_path / "second")
    node.certificate.write_bytes(second.certificate.read_bytes())
    node.key.write_bytes(second.key.read_bytes())
    nursery.start_soon(node.reloader.watch_certificate)
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(CERTIFICATE_INTERVAL)
    while node.shown() == before:
        await trio.testing.wait_all_tasks_blocked(0.01)


def test_a_start_says_what_is_wrong_with_the_pair(node: Node) -> None:
    node.key.write_bytes(make_certificates(node.file.parent / "third").key.read_bytes())
    with pytest.raises(NotReady, match="the key is not that of the certificate"):
        read_certificate(node.read().listen)
