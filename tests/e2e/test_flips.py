"""Bits that change on the disk: never a wrong byte in an answer, and what cannot be read any more is told.

Promise P3, faults B8, B9, B10 and B12 of docs/design/reliability.md. A store with images of every kind is copied, bits
are flipped at random in ``data.mdb`` of either environment, and a node is started on it. Everything that was ever put
there is asked for: each answer of 200 has the right bytes, a transfer of others breaks, and the log has no traceback.
Where anything is missing, ``entrepot check --deep`` says so, unless the node has mended it by then (rows follow from
the journal) and said that; a node that does not start says why.

LMDB has no check values of its own. A bit in the head of a page can make it end the process, which no program that
uses it can prevent; how often is counted, and bounded (``ENDED``). ``E2E_SEED`` draws the same bits again.
"""

import http.client
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.e2e import processes
from tests.e2e.forks import Forks
from tests.e2e.images import Blob, digest, make_image, make_index
from tests.e2e.processes import NotReady
from tests.e2e.pushes import Client
from tests.e2e.servers import RIVAL, Server, fork_node, node_environment, start_node

pytestmark = pytest.mark.skipif(RIVAL, reason="docker-registry keeps files, and compares nothing")

REPOSITORY = "flip/app"
PAGE = 4096
QUIET = "[log]\naccess = false\n"
ENDED = 0.05  # Of all runs: most in which LMDB may end the process.
CRASHES = frozenset({-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT})


@dataclass(frozen=True, slots=True)
class Sound:
    """A store before anything happened to it, and what is in it: path -> bytes."""

    data: Path
    there: dict[str, bytes]
    forks: Forks  # What starts nodes on copies of it.
    quiet: Path  # Their configuration.


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sound]:
    """Small blobs and chunks, long maps, a large manifest, an index, tags, something deleted."""
    data = tmp_path_factory.mktemp("flips") / "data"
    there: dict[str, bytes] = {}
    server = start_node(data, port=processes.free_port())
    client = Client(server)
    try:
        images = [make_image(number, layers=(300, 9000, 40_000, 1_200_000)) for number in range(3)]
        for number, image in enumerate(images):
            client.put_image(REPOSITORY, f"v{number}", image)
            there[f"manifests/v{number}"] = there[f"manifests/{image.manifest.digest}"] = image.manifest.data
            there |= {f"blobs/{blob.digest}": blob.data for blob in image.blobs}
        index = make_index(images)
        client.put_manifest(REPOSITORY, "all", index)
        there["manifests/all"] = index.data
        large = Blob(images[0].manifest.media_type, images[0].manifest.data + b" " * 40_000)
        client.put_manifest(REPOSITORY, "large", large)
        there["manifests/large"] = large.data
        for number in range(40):  # Tables of more than one page.
            client.put_manifest(REPOSITORY, f"t{number}", images[0].manifest)
            there[f"manifests/t{number}"] = images[0].manifest.data
        client.put_blob(REPOSITORY, Blob("", b"gone" * 10_000))
        client.delete(f"/v2/{REPOSITORY}/blobs/{digest(b'gone' * 10_000)}")
    finally:
        client.close()
        processes.stop(server.process)
    quiet = data.with_name("quiet.toml")
    quiet.write_text(QUIET)
    forks = Forks(node_environment())
    try:
        sound = Sound(data, there, forks, quiet)
        assert set(seen(sound, data)) == {"right"}
        yield sound
    finally:
        forks.close()


def test_bits_that_change_give_nobody_wrong_bytes(sound: Sound, tmp_path: Path) -> None:
    flip_again_and_again(sound, tmp_path, runs=7, bits=5)


@pytest.mark.soak
def test_five_hundred_bits_give_nobody_wrong_bytes(sound: Sound, tmp_path: Path) -> None:
    flip_again_and_again(sound, tmp_path, runs=500, bits=1)


@pytest.mark.parametrize("environment", ["meta", "chunks"])
def test_a_newest_meta_page_of_nothing_is_survived_or_told(sound: Sound, environment: str, tmp_path: Path) -> None:
    """A sector of zeros where LMDB says what is valid: the older page is used, or the start refused."""
    data = copy_of(sound, tmp_path)
    file = data / environment / "data.mdb"
    with file.open("r+b") as changed:
        newest = max((0, 1), key=lambda page: transaction(file, page))
        changed.seek(newest * PAGE)
        changed.write(bytes(512))
    assert "wrong" not in seen(sound, data)


@pytest.mark.parametrize("environment", ["meta", "chunks"])
def test_a_file_without_its_last_pages_is_told(sound: Sound, environment: str, tmp_path: Path) -> None:
    """Where those were free nobody misses them: then more are cut off, until some were not."""
    for pages in (3, 12, 48):
        place = tmp_path / str(pages)
        place.mkdir()
        data = copy_of(sound, place)
        file = data / environment / "data.mdb"
        os.truncate(file, min(file.stat().st_size, used(file)) - pages * PAGE)
        found = seen(sound, data)
        assert "wrong" not in found
        if is_told(sound, data):
            return
        assert set(found) == {"right"}, "entrepot check found nothing"
    pytest.fail("48 pages were cut off, and entrepot check found nothing")


def flip_again_and_again(sound: Sound, folder: Path, *, runs: int, bits: int) -> None:
    """Flip *bits* bits in a fresh copy *runs* times, and look at all of it each time."""
    seed = int(os.environ.get("E2E_SEED") or Random().getrandbits(32))
    random, totals = Random(seed), Counter[str]()
    for number in range(runs):
        place = folder / str(number)
        place.mkdir()
        data = copy_of(sound, place)
        flipped = [flip(data, random) for _ in range(bits)]
        note = f"run {number} of E2E_SEED={seed}: {flipped}"
        found = seen(sound, data)
        totals[worst(found)] += 1
        assert not found["wrong"], f"{note}: wrong bytes"
        assert not found["traceback"], f"{note}\n{processes.tail(data.with_name('data.log'))}"
        if found["missing"] or found["refused"] or found["broken"]:
            assert is_told(sound, data), f"{note}: {found}, and entrepot check found nothing"
        shutil.rmtree(place)
    print(f"\n{runs} runs of {bits} bits: {dict(totals)}")
    assert totals["ended"] <= max(1, ENDED * runs), f"E2E_SEED={seed}: {totals}"


def worst(found: Counter[str]) -> str:
    """Return the one word for a run that says most."""
    return next(kind for kind in ("wrong", "ended", "no start", "missing", "broken", "refused", "right") if found[kind])


def copy_of(sound: Sound, folder: Path) -> Path:
    data = folder / "data"
    shutil.copytree(sound.data, data, ignore=shutil.ignore_patterns("*.sock", "lock.mdb"))
    return data


def flip(data: Path, random: Random) -> tuple[str, int, int]:
    """Flip one bit of what is in use, in one environment or the other; return where."""
    name = random.choice(["meta", "chunks"])
    file = data / name / "data.mdb"
    # Half of them in the first bytes of a page, where its head and its pointers are.
    page, within = random.randrange(used(file) // PAGE), random.choice([random.randrange(PAGE), random.randrange(64)])
    bit = random.randrange(8)
    with file.open("r+b") as changed:
        changed.seek(page * PAGE + within)
        [value] = changed.read(1)
        changed.seek(page * PAGE + within)
        changed.write(bytes([value ^ 1 << bit]))
    return name, page * PAGE + within, bit


def used(file: Path) -> int:
    """Return how many bytes of an environment are in use: to the last page that LMDB gave out."""
    last = max(int.from_bytes(head(file, page)[136:144], "little") for page in (0, 1))
    return (last + 1) * PAGE


def transaction(file: Path, page: int) -> int:
    """Return the number of the transaction that wrote a meta page."""
    return int.from_bytes(head(file, page)[144:152], "little")


def head(file: Path, page: int) -> bytes:
    """Return the head of a meta page: in the 0.9 format on 64 bits, the last page in use is at 136, then its number."""
    with file.open("rb") as opened:
        opened.seek(page * PAGE)
        return opened.read(152)


def seen(sound: Sound, data: Path) -> Counter[str]:
    """Start a node on *data*, ask for everything twice, and count what came."""
    found: Counter[str] = Counter()
    log = data.with_name("data.log")
    try:
        port, options = processes.free_port(), ["--config", str(sound.quiet)]
        server = fork_node(sound.forks, data, port=port, options=options, ready="/healthz")
    except NotReady:
        found["traceback" if "Traceback" in processes.tail(log, length=10**6) else "no start"] += 1
        found["ended"] += "terminate" in processes.tail(log) or not processes.tail(log).strip()
        return +found
    try:
        for path, expected in [*sound.there.items(), *sound.there.items()]:
            found[ask(server, path, expected)] += 1
            if server.process.poll() is not None:
                break
    finally:
        code = processes.stop(server.process)
    found["ended"] += code in CRASHES
    assert code in {0, *CRASHES}, f"the node ended with {code}\n{processes.tail(log)}"
    found["traceback"] += "Traceback" in processes.tail(log, length=10**6)
    return +found


def ask(server: Server, path: str, expected: bytes) -> str:
    """Ask for one thing; say what came."""
    client = Client(server)
    try:
        answer = client.call("GET", f"/v2/{REPOSITORY}/{path}", Accept="*/*")
    except (OSError, http.client.HTTPException):
        return "broken"
    finally:
        client.close()
    if answer.status == 200:
        return "right" if answer.body == expected else "wrong"
    return "missing" if answer.status == 404 else "refused"


def is_told(sound: Sound, data: Path) -> bool:
    """Whether the node said what it mended, or ``entrepot check --deep`` finds what is wrong, or cannot read it."""
    if '"event":"repaired"' in processes.tail(data.with_name("data.log"), length=10**6):
        return True
    try:
        return sound.forks.run("check", "--data", data, "--deep", "--json").returncode != 0
    except subprocess.TimeoutExpired:
        return False
