"""Mixed load with faults for as long as is asked for: nothing is lost, and what a node holds returns to its base.

Promises P1 to P5, P8, P10, P12 and P13 of docs/design/reliability.md. Two nodes of one account, A replicating to B.
Clients push, pull, move, delete, read ranges and referrers, slowly and at once, go away in the middle, and attack; a
webhook is told of all; an operator runs commands, backups among them. In the first two thirds the nodes are killed,
stopped and held (SIGSTOP); in the last one A is only held and attacked, so that what it holds before and after can be
compared. The wall clock runs sixty times too fast, so that a day's collection happens.

``E2E_SOAK_MINUTES`` says how long: 3 in ``make soak``, 60 in ``make soak-hour``. The figures go to ``build/soak.json``.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from random import Random

import pytest

from node.cli.control import Control
from tests.e2e import load, processes
from tests.e2e.faults import clock, need, set_clock
from tests.e2e.federation import Federation, arrives, found, replicate
from tests.e2e.footprint import Footprint, at_rest, footprint, metrics
from tests.e2e.images import Blob, image_of
from tests.e2e.load import Artifacts, Browser, Load, Operator, Ranges, Replicated, Weather
from tests.e2e.processes import wait_until
from tests.e2e.receivers import SECRET, Receiver, receiving
from tests.e2e.servers import RIVAL, ROOT, Server, check_store, node_environment
from tests.e2e.workload import Ledger, Worker, check, check_all

MINUTES = float(os.environ.get("E2E_SOAK_MINUTES") or 3)
SPEED = 60  # Seconds of the nodes' wall clock in a second.
KEPT = 23.9 * 3600 / SPEED  # Seconds for which a blob stays that nothing names: a day of theirs.
WORKERS = 3
SLOW_READERS = 10
READ_AGAIN = 3000  # Registers, of those that nothing touched since they were last checked.
REST = 240.0  # Seconds until a node is at rest: uploads leave the memory after two looks of a minute.
GROWTH = 40 * 2**20  # Bytes of memory that may stay: caches that fill once.
HONEST = 0.5  # Seconds: p99 of the honest client in fine weather, on a machine that may have other work.

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(int(MINUTES * 60 * 1.5 + 1800)),
    pytest.mark.skipif(RIVAL, reason="docker-registry has no peers"),
]


class Soak:
    """The two nodes, what runs against them, and what is known of it."""

    def __init__(self, folder: Path, federation: Federation, random: Random) -> None:
        self.folder, self.federation, self.random = folder, federation, random
        self.weather, self.ledger = Weather(), Ledger()
        self.big = Blob("application/octet-stream", random.randbytes(8 * 2**20))
        self.replicated: list[Replicated] = []
        self.operations = 0
        self._a, self._b = federation.a.start(), federation.b.start()

    def a(self) -> Server:
        """The node that is pushed to, or was, while it is down."""
        return self._a

    def b(self) -> Server:
        """The node that it replicates to."""
        return self._b

    def start(self) -> None:
        """Start what does not run."""
        self._a, self._b = self.federation.a.start(), self.federation.b.start()

    def prepare(self) -> None:
        """Put what the readers read."""
        image = image_of([{"a": b"x" * 1000}])
        browser = Browser(self.a)
        with browser.client() as client:
            for repository in ("soak/big", "soak/probe"):
                client.put_image(repository, "1", image)
            client.put_blob("soak/big", self.big)
            layers = [*json.loads(image.manifest.data)["layers"], self.big.descriptor()]
            text = json.dumps(json.loads(image.manifest.data) | {"layers": layers})
            client.put_manifest("soak/big", "big", Blob(image.manifest.media_type, text.encode()))
        browser.close()

    @contextmanager
    def clients(self) -> Iterator[list[Load]]:
        """Run everything but the workers for the length of the block."""
        stopping = threading.Event()
        a, b, ranges, artifacts = (Browser(self.a), Browser(self.b), Browser(self.a), Browser(self.a))
        replicated = Replicated("soak/app", a, b, self.weather, self._random())
        self.replicated.append(replicated)
        operator = Operator(self.federation.a.data, self.folder / "backup")
        aborting, attacking = self._random(), self._random()
        acts: list[tuple[str, float, Callable[[], object]]] = [
            ("replicated", 1.0, replicated.push),
            ("puller", 0.5, replicated.pull_at_b),
            ("ranges", 0.2, Ranges("soak/big", self.big, ranges, self._random()).read),
            ("artifacts", 3.0, Artifacts("soak/artifacts", artifacts, self._random()).act),
            ("aborted", 2.0, lambda: load.abort_upload(self.a(), "soak/aborted", aborting)),
            ("attacker", 2.0, lambda: load.attack(self.a(), attacking)),
            ("skopeo", 15.0, lambda: load.copy_image(self.a(), "soak/big:1", "soak/copied:1")),
            ("operator", 20.0, operator.act),
            *(("slow reader", 0.5, lambda: self._read_slowly(stopping)) for _ in range(SLOW_READERS)),
        ]
        threads = [Load(name, self.weather, stopping, pace, act) for name, pace, act in acts]
        for thread in threads:
            thread.start()
        try:
            yield threads
        finally:
            stopping.set()
            for thread in threads:
                thread.join(90)
            for browser in (a, b, ranges, artifacts):
                browser.close()

    def _read_slowly(self, stopping: threading.Event) -> None:
        path = f"/v2/soak/big/blobs/{self.big.digest}"
        load.read_slowly(self.a(), path, self.big.data, rate=131_072, stopping=stopping)

    def _random(self) -> Random:
        return Random(self.random.getrandbits(64))

    @contextmanager
    def workers(self) -> Iterator[threading.Event]:
        """Run the clients whose every word is noted; yields what is set before their node dies."""
        dying = threading.Event()
        workers = [Worker(self.a(), self.ledger, self._random(), dying, pace=0.3) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        try:
            yield dying
        finally:
            dying.set()
            for worker in workers:
                worker.join(90)
                self.operations += worker.operations
        for worker in workers:
            if worker.error is not None:
                raise worker.error

    def storm(self, until: float) -> None:
        """Kill, stop and hold nodes, and check what is noted after each time that A was."""
        acts = [self.kill_a, self.kill_a, self.stop_a, self.kill_b, self.hold_a, self.hold_b]
        number = 0
        while time.monotonic() < until:
            acts[number % len(acts)]()
            number += 1

    def kill_a(self) -> None:
        """KILL, look at what it left, start."""
        self._end_a(self.federation.a.kill)

    def stop_a(self) -> None:
        """TERM under load, and start."""
        self._end_a(self.federation.a.stop)

    def _end_a(self, end: Callable[[], None]) -> None:
        with self.workers() as dying:
            self._pause()
            dying.set()
            with self.weather.fault("A ends"):
                end()
                check_store(self.federation.a.data)
                self.start()
        check(self.a(), self.ledger)

    def kill_b(self) -> None:
        """KILL B in the middle of transfers."""
        with self.workers():
            self._pause()
            with self.weather.fault("B ends"):
                self.federation.b.kill()
                check_store(self.federation.b.data)
                self.start()

    def work(self) -> None:
        """A minute in which nothing goes wrong."""
        with self.workers():
            threading.Event().wait(60)

    def hold_a(self) -> None:
        """SIGSTOP for some seconds: a machine that was paused."""
        self._hold(self.a, 3)

    def hold_b(self) -> None:
        """SIGSTOP for longer than a peer may be silent."""
        self._hold(self.b, 20)

    def _hold(self, server: Callable[[], Server], seconds: float) -> None:
        with self.workers():
            self._pause()
            with self.weather.fault("held"):
                server().process.send_signal(signal.SIGSTOP)
                threading.Event().wait(seconds)
                server().process.send_signal(signal.SIGCONT)

    def _pause(self) -> None:
        threading.Event().wait(self.random.uniform(15, 45))


def test_nothing_is_lost_and_nothing_is_kept(tmp_path: Path) -> None:
    need("faketime", "skopeo")
    seed = int(os.environ.get("E2E_SEED") or Random().getrandbits(32))
    time_file = tmp_path / "clock"
    set_clock(time_file, 0)
    federation = found(tmp_path, variables=clock(str(time_file)), configuration="[limits]\ngrace = 5.0\n")
    soak = Soak(tmp_path, federation, Random(seed))
    figures: dict[str, object] = {"seed": seed, "minutes": MINUTES}
    try:
        replicate(federation, "soak/app")
        soak.prepare()
        with receiving() as receiver, hurried(time_file):
            tell(federation.a.data, receiver)
            run(soak, figures)
            figures["told by webhook"] = len(receiver.deliveries)
            told_of_all(soak, receiver)
    finally:
        federation.stop()
        figures["problems"] = soak.weather.problems
        (ROOT / "build").mkdir(exist_ok=True)
        (ROOT / "build/soak.json").write_text(json.dumps(figures, indent=2))
        print(json.dumps(figures, indent=2))
    for site in (federation.a, federation.b):
        check_store(site.data, deep=True)
    assert not soak.weather.problems, soak.weather.problems[:20]


def tell(data: Path, receiver: Receiver) -> None:
    """Have the node send its events to *receiver*; stamps of a hurried clock are not looked at."""
    hook = {"url": f"http://127.0.0.1:{receiver.port}/", "allow_http": True, "allow_addresses": ["127.0.0.1"]}
    asked = {"webhook": hook, "secret": SECRET, "from": "1"}
    Control(data).call("PUT", "webhooks/soak", body=json.dumps(asked).encode())


def told_of_all(soak: Soak, receiver: Receiver) -> None:
    """Every acknowledged push of the replicated repository was told."""
    tags = {tag for replicated in soak.replicated for tag in replicated.pushed}

    def missing() -> set[str]:
        return tags - set(receiver.tags()["soak/app"])

    assert wait_until(lambda: not missing(), patience=60, interval=1), f"no webhook told of {missing()}"


def run(soak: Soak, figures: dict[str, object]) -> None:
    """The storm, then the calm in which A is measured, then all that was promised."""
    begin = time.monotonic()
    with probing(soak) as samples:
        with soak.clients() as threads:
            soak.storm(begin + MINUTES * 40)
            with soak.weather.fault("A is started anew"):
                soak.federation.a.stop()
                soak.start()
            with soak.workers():
                threading.Event().wait(30)  # What is made once is made.
        figures["done in the storm"] = {one.name: one.done for one in threads}
        before = at_rest(soak.a(), patience=REST)
        before_b = at_rest(soak.b(), patience=REST)
        calm = time.monotonic() + MINUTES * 20
        with soak.clients() as threads:
            while time.monotonic() < calm:
                for act in (soak.work, soak.work, soak.hold_a):
                    act()
                figures["under load"] = asdict(footprint(soak.a()))
        figures["done in the calm"] = {one.name: one.done for one in threads}
        after, after_b = at_rest(soak.a(), patience=REST), at_rest(soak.b(), patience=REST)
        figures |= {"before": asdict(before), "after": asdict(after)}
        figures |= {"before at B": asdict(before_b), "after at B": asdict(after_b)}
        figures |= summary(soak, samples)
    check(soak.a(), soak.ledger)
    check_all(soak.a(), soak.ledger, kept=KEPT, most=READ_AGAIN)
    for tag, image in [one for replicated in soak.replicated for one in replicated.pushed.items()]:
        assert arrives(soak.b(), "soak/app", tag, image.manifest.digest), f"{tag} is not at B"
    returned(before, after)
    returned(before_b, after_b)
    p99 = figures["p99 in fine weather"]
    assert isinstance(p99, float)
    assert p99 <= HONEST, f"p99 {p99}"


def returned(before: Footprint, after: Footprint) -> None:
    """Everything is as it was before the load."""
    what = f"before: {before}\nafter: {after}"
    assert after.is_at_rest, f"not at rest\n{what}"
    assert after.descriptors <= before.descriptors + 8, f"file descriptors\n{what}"
    assert after.tasks <= before.tasks + 8, f"tasks\n{what}"
    assert after.memory <= before.memory * 1.2 + GROWTH, f"memory\n{what}"


def summary(soak: Soak, samples: Path) -> dict[str, object]:
    """Return what the honest client saw, and what the nodes count."""
    rows = [line.split() for line in samples.read_text().splitlines()]
    good = [(float(began), float(took)) for began, took, status in rows if status == "200"]
    fine = [took for began, took in good if soak.weather.is_fine(began)]
    numbers = metrics(soak.a())
    return {
        "operations": soak.operations,
        "load average": os.getloadavg()[1],
        "registers": len(soak.ledger.writes),
        "faults": len(soak.weather.faults),
        "honest requests": len(rows),
        "p50 in fine weather": quantile(fine, 50),
        "p99 in fine weather": quantile(fine, 99),
        "p99 in all": quantile([took for _, took in good], 99),
        "unanswered": sum(status != "200" for _, _, status in rows),
        "bytes of A": {one.parent.name: one.stat().st_size for one in soak.federation.a.data.glob("*/data.mdb")},
        "limit hits": {name: value for name, value in numbers.items() if name.startswith("entrepot_limit_hits")},
        "bugs": {name: value for name, value in numbers.items() if name.startswith("entrepot_bugs")},
        "tracebacks": sum(site.data.with_name(f"{site.data.name}.log").read_text().count("Traceback")
                          for site in (soak.federation.a, soak.federation.b)),
    }  # fmt: skip


def quantile(values: list[float], percent: int) -> float:
    """Return a percentile, in seconds."""
    return round(statistics.quantiles(values, n=100)[percent - 1], 6) if len(values) > 1 else 0.0


@contextmanager
def probing(soak: Soak) -> Iterator[Path]:
    """Run the honest client."""
    server, file = soak.a(), soak.folder / "probe"
    command = [sys.executable, "-m", "tests.e2e.probe", server.host, str(server.port), "/v2/soak/probe/manifests/1"]
    probe = subprocess.Popen([*command, str(file)], env=node_environment(), cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        yield file
    finally:
        processes.stop(probe)


@contextmanager
def hurried(file: Path) -> Iterator[None]:
    """Let the nodes' wall clock run ``SPEED`` times as fast."""
    stopping, begin = threading.Event(), time.monotonic()

    def turn() -> None:
        while not stopping.wait(0.25):
            set_clock(file, (time.monotonic() - begin) * (SPEED - 1))

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
