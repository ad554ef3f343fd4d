"""``entrepot audit``: who did what, of a node that runs or of one that does not; and whether that was changed."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from node.cli.check import own_of
from node.cli.control import Parameter
from node.cli.failures import NotFound
from node.cli.options import data_option, examples, json_option
from node.cli.output import Cell, Moment, print_fields, print_json, print_lines
from node.cli.target import Node, node_at
from node.peers.identity import load_identity
from node.registry.audit.reading import MAX_PAGE, Wanted, search, search_back, verify_step
from node.store.store import open_stopped
from protocol.moment import parse_moment

_LOOK = 1.0  # Seconds between two looks for what is new.
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FIRST_SHOWN = 100


class _When(click.ParamType):  # type: ignore[type-arg]  # Generic in click's stubs alone.
    name = "when"

    def convert(  # type: ignore[explicit-override]  # 3.12 has it.
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds since 1970."""
        ago = re.fullmatch(r"([0-9]{1,9})([smhd])", value, re.ASCII)
        found = time.time() - int(ago[1]) * _UNITS[ago[2]] if ago else parse_moment(value)
        if found is None:
            self.fail(f"{value!r} is no time, as 2026-01-31T12:00:00Z, and not so long ago, as 90m or 2d", param, ctx)
        return found


class _Place(click.ParamType):  # type: ignore[type-arg]  # Generic in click's stubs alone.
    name = "place"

    def convert(  # type: ignore[explicit-override]  # 3.12 has it.
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, str]:
        """Return number and hash of an entry."""
        found = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", value, re.ASCII)
        if found is None:
            self.fail(f"{value!r} is not NUMBER:HASH, as `entrepot audit verify` prints it", param, ctx)
        return int(found[1]), found[2]


@click.group(epilog=examples("entrepot audit show --since 1d", "entrepot audit verify"))
def audit() -> None:
    """Who did what.

    Each change is written down with it, reads and refusals within a second, in a chain of hashes that the node signs.
    """


@audit.command(
    epilog=examples(
        "entrepot audit show",
        "entrepot audit show --since 2d --action 'ecr:*Delete*' --result ok",
        "entrepot audit show --who '*user/ana' --resource 'team/*' --json",
        "entrepot audit show --follow",
        "ENTREPOT_ENDPOINT=https://registry.example entrepot audit show",
    )
)
@click.option("--who", metavar="ARN", help="Only of this principal. Wildcards as in policies, here and below.")
@click.option("--from", "source", metavar="ADDRESS", help="Only from there.")
@click.option("--action", help="Only this, such as ecr:PutImage.")
@click.option("--resource", metavar="NAME", help="Only on this repository, or what else an action was about.")
@click.option("--result", help="ok, or an error of ECR's API, such as AccessDeniedException.")
@click.option("--since", type=_When(), metavar="TIME|AGO", help="Not before: 2026-01-31T12:00:00Z, or 90m ago.")
@click.option("--until", type=_When(), metavar="TIME|AGO", help="Before.")
@click.option("-n", "--limit", type=click.IntRange(1, 1_000_000), help="So many; without --since the last 100.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@json_option
@data_option
def show(
    *,
    limit: int | None,
    follow: bool,
    data: Path,
    as_json: bool,
    **given: str | float | None,
) -> None:
    """Print entries, the oldest first: number, time, who, from where, action, resource, result, how many alike.

    With --json each entry is one JSON object on a line of its own.
    """
    wanted = {name: value for name, value in given.items() if value is not None}
    control = node_at(data)
    is_running = control.running()
    pages = _of_running(control, wanted, limit, follow=follow) if is_running else _of_stopped(data, wanted, limit)
    try:
        for page in pages:
            if as_json:
                for entry in page:
                    click.echo(msgspec.json.encode(entry))
            else:
                print_lines(_cells(entry) for entry in page)
    except KeyboardInterrupt:
        if not follow:
            raise


@audit.command(
    epilog=examples(
        "entrepot audit verify",
        "entrepot audit verify --known 4711:9f86d081884c7d65...    # as an earlier one printed it",
    )
)
@click.option(
    "--known",
    type=_Place(),
    metavar="NUMBER:HASH",
    help="The chain has to go through this entry as it was: what an earlier `verify` printed, kept elsewhere.",
)
@json_option
@data_option
@click.pass_context
def verify(context: click.Context, data: Path, *, known: tuple[int, str] | None, as_json: bool) -> None:
    """Follow the whole chain, and compare it with what the node signed.

    Prints the last entry's number and hash: kept elsewhere, they prove later that nothing before was changed, also by
    who has the node. Exit code 1: something was changed or is missing.
    """
    control = node_at(data)
    steps = _steps_of_running(control) if control.running() else _steps_of_stopped(data)
    entries = checkpoints = signed = 0
    faults: list[str] = []
    end: dict[str, Any] = {"seq": 0, "hash": ""}
    for step in steps:
        entries, checkpoints, end = entries + step["entries"], checkpoints + step["checkpoints"], step
        signed, faults = max(signed, step["signed"]), faults + step["faults"]
    if known is not None:
        faults += _differs(control, data, known)
    place = f"{end['seq']}:{end['hash']}"
    if as_json:
        print_json({"entries": entries, "checkpoints": checkpoints, "signed": signed, "end": place, "faults": faults})
    else:
        print_fields([("entries", entries), ("checkpoints", checkpoints), ("signed up to", signed), ("end", place)])
        for fault in faults:
            click.echo(fault)
    context.exit(1 if faults else 0)


def _of_running(
    control: Node, wanted: dict[str, Any], limit: int | None, *, follow: bool
) -> Iterator[list[dict[str, Any]]]:
    query: dict[str, Parameter] = {
        name: value if isinstance(value, str) else repr(value) for name, value in wanted.items()
    }
    left = limit if limit is not None else (_FIRST_SHOWN if "since" not in wanted else 10**9)
    if "since" not in wanted and left <= MAX_PAGE:
        page = control.call("GET", "audit", query={**query, "limit": left})
        yield page["entries"]
        after = page["next"]
        if not follow:
            return
        left = 10**9
    else:
        after = 0
    while left > 0:
        page = control.call("GET", "audit", query={**query, "after": after, "limit": min(left, MAX_PAGE)})
        yield page["entries"]
        after, left = page["next"], left - len(page["entries"])
        if page["at_end"]:
            if not follow:
                return
            time.sleep(_LOOK)


def _of_stopped(data: Path, wanted: dict[str, Any], limit: int | None) -> Iterator[list[dict[str, Any]]]:
    _require_store(data)
    asked = Wanted(**wanted)
    with open_stopped(data) as store:
        with store.meta.read() as txn:
            if "since" not in wanted:
                found = search_back(store.meta, txn, asked, limit=limit or _FIRST_SHOWN).entries
                yield msgspec.to_builtins(found)
                return
        after, left = 0, limit or 10**9
        while left > 0:
            with store.meta.read() as txn:
                page = search(store.meta, txn, asked, after=after, limit=min(left, MAX_PAGE))
            yield msgspec.to_builtins(page.entries)
            after, left = page.next, left - len(page.entries)
            if page.at_end:
                return


def _steps_of_running(control: Node) -> Iterator[dict[str, Any]]:
    after, known = 0, ""
    while True:
        step = control.get("audit/verification", after=after, known=known or None)
        yield step
        if step["at_end"]:
            return
        after, known = step["seq"], step["hash"]


def _steps_of_stopped(data: Path) -> Iterator[dict[str, Any]]:
    _require_store(data)
    own = own_of(load_identity(data))
    after, known = 0, ""
    with open_stopped(data) as store:
        while True:
            step = verify_step(store.meta, own.node, own.verify, after=after, known=known)
            yield msgspec.to_builtins(step)
            if step.at_end:
                return
            after, known = step.seq, step.hash


def _differs(control: Node, data: Path, known: tuple[int, str]) -> list[str]:
    """Return what is wrong with an entry of which the hash is known."""
    if control.running():
        found = control.call("GET", "audit", query={"after": max(0, known[0] - 1), "limit": 1})["entries"]
    else:
        with open_stopped(data) as store, store.meta.read() as txn:
            page = search(store.meta, txn, Wanted(), after=max(0, known[0] - 1), limit=1)
            found = msgspec.to_builtins(page.entries)
    if not found or found[0]["seq"] != known[0]:
        return [f"entry {known[0]} is not there; it may have been removed as old as it was"]
    return (
        [] if found[0]["hash"] == known[1] else [f"entry {known[0]} is not what it was: it, or one before, was changed"]
    )


def _require_store(data: Path) -> None:
    if not (data / "FORMAT").exists():
        raise NotFound(f"there is no store in {data}; name the data directory of a node with --data")


def _cells(entry: dict[str, Any]) -> list[Cell]:
    what = " ".join(entry["what"])
    return [
        entry["seq"],
        Moment(entry["time"]),
        entry["who"],
        entry["from"],
        entry["action"],
        entry["resource"],
        entry["result"],
        entry["count"],
        what,
    ]
