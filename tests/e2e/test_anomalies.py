"""The anomaly loop: a fault at the first, second, third ... system call of a scenario, until none is left.

Promises P1 to P4, P10 and P11 of docs/design/reliability.md. Each run begins anew: a node under ``strace``, the
scenario, one call that kills it or fails. Then it is started without the fault: every register is explained by what was
acknowledged, the store passes ``entrepot check --deep``, and no chunk is left that nothing names.

No failpoints are built into the node for this. All that it makes durable goes through four system calls of two
threads, and the kill comes before the call: so the runs stop at every state that a disk can be left in, also between
two commits (chunks, then meta), and a failpoint between two such calls would leave the disk in one of the same states.
The answers are one more call. What is not a call on disk or network cannot be seen from outside after a kill.

``make test`` draws some runs; ``E2E_SEED`` draws the same ones again. ``make soak`` takes all.
"""

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.e2e import processes
from tests.e2e.faults import ERRORS, Injection, clock, most_calls, need, traced, was_injected
from tests.e2e.federation import A_REGION, ACCOUNT, B_REGION
from tests.e2e.forks import Forks
from tests.e2e.processes import NotReady, wait_until
from tests.e2e.scenario import FIRST_DAY, REPLICATED_DAY, SECOND_DAY, Step, ended_or_reads, may_be_collected, run
from tests.e2e.servers import RIVAL, Server, check_store, command, fork_node, node_environment, start_node
from tests.e2e.workload import Ledger, check

pytestmark = pytest.mark.skipif(RIVAL, reason="docker-registry writes plain files, by other calls")

DISK = ("pwrite64", "writev", "pwritev", "fdatasync", "ftruncate")
SETUP = ("mkdir", "rename", "fsync")  # With which a first start makes its files.
NETWORK = ("sendto", "sendmsg")
TOMORROW = "+26h"
DRAWN = 3  # Runs of each day in `make test`.
STARTS = 3  # In which what a kill left over has to be freed.


@dataclass(frozen=True, slots=True)
class Day:
    """A scenario, and where it begins."""

    data: Path | None  # A store to begin with.
    ledger: Ledger
    steps: Sequence[Step]
    forks: Forks  # What starts its nodes, with its clock.
    replicates: bool = False  # Whether a rule sends all of it elsewhere, which has to be wanted there afterwards.

    def begin(self, data: Path) -> Ledger:
        """Put the beginning at *data*."""
        if self.data is not None:
            shutil.copytree(self.data, data, ignore=shutil.ignore_patterns("*.sock", "lock.mdb"))
        return self.ledger.copy()


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Day, Day, Day]]:
    """The day of pushes and deletes, from an empty directory; the next one, from what that left; one with a rule."""
    need("strace", "faketime")
    folder = tmp_path_factory.mktemp("days")
    ledger, data = Ledger(), folder / "data"
    server = start_node(data, port=processes.free_port())
    try:
        assert not run(server, ledger, FIRST_DAY).refused
    finally:
        processes.stop(server.process)
    check_store(data, deep=True)
    evening = ledger.copy()
    may_be_collected(evening)
    ruled = store_with_a_rule(folder)
    today, tomorrow = Forks(node_environment()), Forks({**node_environment(), **clock(TOMORROW)})
    try:
        yield (
            Day(None, Ledger(), FIRST_DAY, today),
            Day(data, evening, SECOND_DAY, tomorrow),
            Day(ruled, Ledger(), REPLICATED_DAY, today, replicates=True),
        )
    finally:
        today.close()
        tomorrow.close()


def store_with_a_rule(folder: Path) -> Path:
    """Return a store whose images all go to another region, of which no node is known."""
    data, rules = folder / "ruled", folder / "rules.json"
    destinations = [{"region": B_REGION, "registryId": ACCOUNT}]
    filters = [{"filter": "kill/", "filterType": "PREFIX_MATCH"}]
    rules.write_text(json.dumps({"rules": [{"destinations": destinations, "repositoryFilters": filters}]}))
    command("init", "--data", data, "--account", ACCOUNT, "--region", A_REGION)
    server = start_node(data, port=processes.free_port())
    try:
        command("replication", "put", rules, "--data", data)
    finally:
        processes.stop(server.process)
    return data


@pytest.mark.parametrize("number", [0, 1], ids=["push-and-delete", "collect"])
def test_faults_that_were_drawn_lose_nothing(days: tuple[Day, Day, Day], number: int, tmp_path: Path) -> None:
    seed = int(os.environ.get("E2E_SEED") or Random().getrandbits(32))
    day, random = days[number], Random(seed)
    calls = calls_of(day, tmp_path / "untouched")
    every = [
        Injection(syscall, fault, nth)
        for syscall, fault in kinds()
        for nth in range(1, calls[syscall] + 1)
    ]  # fmt: skip
    kills = [one for one in every if one.fault == "KILL"]
    errors = [one for one in every if one.fault != "KILL"]
    drawn = random.sample(kills, DRAWN - 1) + random.sample(errors, 1)
    for index, injection in enumerate(drawn):
        survive(day, injection, tmp_path / str(index), note=f"E2E_SEED={seed}")


@pytest.mark.soak
@pytest.mark.parametrize("number", [0, 1], ids=["push-and-delete", "collect"])
@pytest.mark.parametrize(("syscall", "fault"), [(syscall, fault) for syscall in DISK for fault in ("KILL", *ERRORS)])
def test_no_fault_at_any_call_loses_anything(
    days: tuple[Day, Day, Day], number: int, syscall: str, fault: str, tmp_path: Path
) -> None:
    loop(days[number], syscall, fault, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize(("syscall", "fault"), [(syscall, fault) for syscall in SETUP for fault in ("KILL", *ERRORS)])
def test_a_first_start_that_fails_anywhere_can_be_repeated(
    days: tuple[Day, Day, Day], syscall: str, fault: str, tmp_path: Path
) -> None:
    loop(days[0], syscall, fault, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("syscall", ["pwrite64", "fdatasync"])
def test_no_kill_makes_the_follower_of_the_journal_miss_anything(
    days: tuple[Day, Day, Day], syscall: str, tmp_path: Path
) -> None:
    """Promise P12."""
    loop(days[2], syscall, "KILL", tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("number", [0, 1], ids=["push-and-delete", "collect"])
@pytest.mark.parametrize("syscall", NETWORK)
def test_no_kill_at_any_answer_loses_anything(
    days: tuple[Day, Day, Day], number: int, syscall: str, tmp_path: Path
) -> None:
    loop(days[number], syscall, "KILL", tmp_path)


def kinds() -> Iterator[tuple[str, str]]:
    """Yield what is put where: an error of a socket is an everyday thing, and has tests of its own."""
    yield from ((syscall, fault) for syscall in DISK for fault in ("KILL", *ERRORS))
    yield from ((syscall, "KILL") for syscall in (*NETWORK, *SETUP))


def loop(day: Day, syscall: str, fault: str, folder: Path) -> None:
    """Put the fault at call 1, 2, 3 ... until two runs in a row were untouched."""
    nth, untouched = 0, 0
    while untouched < 2:
        nth += 1
        place = folder / str(nth)
        untouched = 0 if survive(day, Injection(syscall, fault, nth), place) else untouched + 1
        shutil.rmtree(place)


def calls_of(day: Day, folder: Path) -> Counter[str]:
    """Return how often the busiest thread makes each call where nothing goes wrong."""
    trace, data, ledger = folder / "trace", folder / "data", begin(day, folder)
    prefix = traced(trace, (*DISK, *NETWORK, *SETUP))
    server = fork_node(day.forks, data, port=processes.free_port(), prefix=prefix)
    try:
        assert not run(server, ledger, day.steps).refused
    finally:
        processes.stop(server.process)
    return most_calls(trace)


def begin(day: Day, folder: Path) -> Ledger:
    folder.mkdir()
    return day.begin(folder / "data")


def survive(day: Day, injection: Injection, folder: Path, *, note: str = "") -> bool:
    """Run the day with the fault, then check all promises without it; return whether it happened."""
    ledger, trace, port = begin(day, folder), folder / "trace", processes.free_port()
    data, log = folder / "data", folder / "data.log"
    try:
        server = start_faulty(day, injection, data, port, trace)
        if server is not None:
            try:
                outcome = run(server, ledger, day.steps)
                assert wait_until(partial(ended_or_reads, server), patience=15), "the node lives, and reads nothing"
            finally:
                code = processes.stop(server.process)
            happened = was_injected(trace)
            assert happened or not outcome.refused, f"refused without a fault: {outcome.refused}"
            died = code == -signal.SIGKILL
            assert died == (happened and injection.fault == "KILL"), f"the node ended with {code}"
        else:
            happened = True
        check_after(day, data, port, ledger)
        has_traceback = "Traceback" in processes.tail(log, length=10**6)
        assert not has_traceback, "a traceback in the log"
    except AssertionError as error:
        error.add_note(f"{injection} {note}\n{processes.tail(log)}\n{processes.tail(trace)}")
        raise
    return happened


def start_faulty(day: Day, injection: Injection, data: Path, port: int, trace: Path) -> Server | None:
    """Start the node under the fault; ``None``: it came to happen so early that the node did not start."""
    paths = [data / name for name in ("meta/data.mdb", "chunks/data.mdb", "meta/lock.mdb", "chunks/lock.mdb")]
    on_disk = injection.syscall in DISK
    prefix = traced(trace, [injection.syscall], paths=paths if on_disk else (), expressions=[injection.expression])
    try:
        return fork_node(day.forks, data, port=port, prefix=prefix, ready="/healthz")
    except NotReady:
        assert was_injected(trace), "the node did not start, and nothing was done to it"
        return None


def check_wanted(data: Path, ledger: Ledger) -> None:
    """Every image that a rule covers and that is there is wanted at the destination, in the end."""
    there = {name for (kind, _, name), writes in ledger.writes.items() if kind == "manifest" and writes[-1].value}

    def wanted() -> set[str]:
        status = json.loads(command("replication", "status", "--json", "--data", data))
        return {one["digest"] for one in status["images"]}

    assert wait_until(lambda: there <= wanted(), patience=10), f"{there - wanted()} are not wanted anywhere"


def check_after(day: Day, data: Path, port: int, ledger: Ledger) -> None:
    """Start again until nothing is left over; at the first time, look at all that was acknowledged."""
    for start in range(STARTS):
        server = fork_node(day.forks, data, port=port)
        try:
            if start == 0:
                check(server, ledger)
                if day.replicates:
                    check_wanted(data, ledger)
        finally:
            code = processes.stop(server.process)
        assert code == 0, f"the node ended with {code}"
        if "orphan" not in check_store(data, deep=True, forks=day.forks):
            return
    pytest.fail("chunks that nothing names are left")
