"""``entrepot repo``, ``tag``, ``image``, ``collect`` and ``du``: what is in the registry, and what goes."""

from pathlib import Path
from typing import Any

import click
import msgspec

from node.cli.control import Control
from node.cli.options import Number, data_option, examples, json_option
from node.cli.output import Cell, Moment, Size, print_fields, print_json, print_rows
from protocol.errors import Refusal
from protocol.oci.digest import digest
from protocol.oci.names import repository_name, tag_name


class ImageReference(click.ParamType[tuple[str, str]]):
    """``repository:tag`` or ``repository@digest``, as a pair of repository and tag or digest."""

    name = "REF"

    def convert(  # type: ignore[explicit-override]  # 3.12 has it.
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Parse *value*, or end with a usage error that says what is missing."""
        _without_host(value)
        name, at, reference = value.partition("@")
        try:
            if at:
                return repository_name(name), digest(reference)
            name, colon, reference = value.rpartition(":")
            if not colon:
                self.fail(f"{value!r} names no tag and no digest; say {value}:TAG or {value}@sha256:...", param, ctx)
            return repository_name(name), tag_name(reference)
        except Refusal as refusal:
            self.fail(str(refusal), param, ctx)


def _repository(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    _without_host(value)
    try:
        return repository_name(value)
    except Refusal as refusal:
        raise click.BadParameter(str(refusal)) from refusal


def _without_host(value: str) -> None:
    """Say what is too much of a name as clients write it: the address of the registry."""
    first, slash, rest = value.partition("/")
    if slash and ":" in first and "@" not in first:
        raise click.BadParameter(f"{value!r} begins with an address; leave it out, --data says which node: {rest}")


@click.group(epilog=examples("entrepot repo ls"))
def repo() -> None:
    """Repositories."""


@repo.command("ls", epilog=examples("entrepot repo ls", "entrepot repo ls --data a --json"))
@json_option
@data_option
def repo_ls(data: Path, as_json: bool) -> None:
    """List the repositories, in the order of their names."""
    pages = Control(data).pages("repositories", "repositories")
    if as_json:
        print_json({"repositories": [name for page in pages for name in page]})
    else:
        print_rows(["REPOSITORY"], ([[name] for name in page] for page in pages), empty="No repositories yet.")


@repo.command("rm", epilog=examples("entrepot repo rm library/old", "entrepot repo rm library/old --force"))
@click.argument("repository", metavar="REPO", callback=_repository)
@click.option("--force", is_flag=True, help="Delete the images in it as well.")
@json_option
@data_option
def repo_rm(repository: str, data: Path, *, force: bool, as_json: bool) -> None:
    """Delete a repository; one with images in it only with --force.

    It is gone at once; its room comes back as blobs are collected, a day after they were last asked for.
    """
    Control(data).call("DELETE", f"repositories/{repository}", query={"force": "true" if force else None})
    if as_json:
        print_json({"deleted": repository})
    else:
        click.echo(f"Deleted {repository}")


@click.command(epilog=examples("entrepot collect", "entrepot collect --grace 0    # the disk is full: now"))
@click.option(
    "--grace",
    type=Number(0, 24),
    default=24.0,
    show_default=True,
    help="Hours since a client was last told that a blob is here. With less, a push under way may have to be repeated.",
)
@json_option
@data_option
def collect(data: Path, *, grace: float, as_json: bool) -> None:
    """Free at once what nothing needs any more.

    The node does so by itself, a day after the last image that named a blob is deleted. With --grace 0 what was deleted
    is room at once.
    """
    total = dict.fromkeys(("links", "blobs", "bytes"), 0)
    control, body, more = Control(data), msgspec.json.encode({"grace": grace * 3600}), True
    while more:
        answer = control.call("POST", "collection", body=body)
        total, more = {name: count + answer[name] for name, count in total.items()}, answer["more"]
    if as_json:
        print_json(total)
    else:
        print_fields((("links", total["links"]), ("blobs", total["blobs"]), ("freed", Size(total["bytes"]))))


@click.group(epilog=examples("entrepot tag ls library/nginx"))
def tag() -> None:
    """Tags."""


@tag.command("ls", epilog=examples("entrepot tag ls library/nginx", "entrepot tag ls library/nginx --json"))
@click.argument("repository", metavar="REPO", callback=_repository)
@json_option
@data_option
def tag_ls(repository: str, data: Path, as_json: bool) -> None:
    """List the tags of a repository, in the order of their names."""
    pages = Control(data).pages(f"repositories/{repository}/tags", "tags")
    if as_json:
        print_json({"repository": repository, "tags": [name for page in pages for name in page]})
    else:
        print_rows(["TAG"], ([[name] for name in page] for page in pages), empty=f"{repository} has no tags.")


@click.group(epilog=examples("entrepot image inspect library/nginx:1.27"))
def image() -> None:
    """Images."""


@image.command(
    epilog=examples(
        "entrepot image inspect library/nginx:1.27",
        "entrepot image inspect library/nginx@sha256:4bf5... --json",
    )
)
@click.argument("reference", metavar="REF", type=ImageReference())
@json_option
@data_option
def inspect(reference: tuple[str, str], data: Path, as_json: bool) -> None:
    """Show an image: its digest, tags, sizes and parts. REF is repository:tag or repository@digest."""
    found = Control(data).get(_image_path(reference))
    if as_json:
        print_json(found)
        return
    print_fields(_image_fields(found))


@image.command(
    epilog=examples("entrepot image rm library/nginx:1.27", "entrepot image rm library/nginx@sha256:4bf5...")
)
@click.argument("reference", metavar="REF", type=ImageReference())
@json_option
@data_option
def rm(reference: tuple[str, str], data: Path, as_json: bool) -> None:
    """Delete a tag (repository:tag), or an image with all its tags (repository@digest)."""
    Control(data).call("DELETE", _image_path(reference))
    name, which = reference
    if as_json:
        print_json({"repository": name, "deleted": which})
    else:
        click.echo(f"Deleted {name}{'@' if ':' in which else ':'}{which}")


@click.command(epilog=examples("entrepot du", "entrepot du --json"))
@json_option
@data_option
def du(data: Path, as_json: bool) -> None:
    """Show what takes how much room.

    Metadata and chunks are the sizes of the store's two files, free is what may still be written.
    """
    usage = Control(data).get("usage")
    if as_json:
        print_json(usage)
    else:
        print_fields(
            (
                *((name, usage[name]) for name in ("repositories", "images", "tags", "blobs", "uploads")),
                ("metadata", Size(usage["bytes_meta"])),
                ("chunks", Size(usage["bytes_chunks"])),
                ("free", Size(usage["bytes_free"])),
            )
        )


def _image_path(reference: tuple[str, str]) -> str:
    return f"repositories/{reference[0]}/images/{reference[1]}"


def _image_fields(found: dict[str, Any]) -> list[tuple[str, Cell]]:
    fields: list[tuple[str, Cell]] = [
        ("repository", found["repository"]),
        ("digest", found["digest"]),
        ("media type", found["media_type"]),
        ("tags", ", ".join(found["tags"]) or None),
        ("pushed", Moment(found["pushed_at"])),
        ("manifest size", Size(found["size"])),
        ("image size", Size(found["image_size"])),
        ("artifact type", found["artifact_type"]),
        ("subject", found["subject"]),
        *(("child", digest) for digest in found["children"]),
        *(("blob", f"{blob['digest']} {blob['size']}") for blob in found["blobs"]),
    ]
    return [field for field in fields if field[1] is not None]
