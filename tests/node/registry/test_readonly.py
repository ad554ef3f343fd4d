"""Read-only mode: behind a closed gate no client changes content, and everything else goes on."""

from pathlib import Path

import pytest
import trio

from node.api.admin.routes import ROUTES as ADMIN_ROUTES
from node.api.oci.routes import ROUTES as OCI_ROUTES
from node.registry.blobs import delete_blob, open_blob, stat_blob
from node.registry.collection import collect_step
from node.registry.commit import commit
from node.registry.condition import condition
from node.registry.deletes import delete_image
from node.registry.gate import Gate, leaves_content
from node.registry.images import put_manifest
from node.registry.mounts import mount_blob
from node.registry.readonly import clear_read_only, read_only_state, restore_gate, set_read_only
from node.registry.registry import Registry
from node.registry.tags import delete_tag
from node.registry.uploads import Source, append_upload, begin_upload, expire_uploads, finish_upload
from protocol.auth.caller import Act
from protocol.errors import Denied, NotReady, ReadOnly
from protocol.oci.digest import digest_of
from tests.node.registry.world import ALICE, APP, DAY, EVE, OTHER, TAG, World, image, opened, push_blob, source

READS = {"GET", "HEAD"}


def test_an_open_gate_needs_every_closer_to_be_gone() -> None:
    gate = Gate()
    gate.close("configuration", "the file")
    gate.close("operator", "tonight")
    assert gate.why == "the file; tonight"
    gate.open("configuration")
    with pytest.raises(ReadOnly, match="tonight"):
        gate.require_open()
    gate.open("operator")
    gate.require_open()


@pytest.mark.parametrize("route", OCI_ROUTES, ids=lambda route: f"{route.method} {route.pattern}")
def test_what_changes_content_at_the_client_port_is_what_is_refused(route: object) -> None:
    method, action = route.method, route.action  # type: ignore[attr-defined]
    is_progress = method == "GET" and action == "ecr:UploadLayerPart"  # Of an upload that cannot go on.
    assert leaves_content(action) == (method in READS and not is_progress)


def test_commands_that_change_content_are_refused_and_those_that_operate_the_node_are_not() -> None:
    refused = {f"{one.method} {one.pattern}" for one in ADMIN_ROUTES if not leaves_content(one.action)}
    assert refused == {
        "DELETE /admin/v1/repositories/{name}",
        "DELETE /admin/v1/repositories/{name}/images/{reference}",
        "POST /admin/v1/collection",
    }


@pytest.mark.parametrize("action", ["ecr:PutImage", "ecr:ReplicateImage", "ecr:BatchImportUpstreamImage", "ecr:New"])
def test_an_action_that_nobody_thought_of_changes_content(action: str) -> None:
    assert not leaves_content(action)


async def test_pulls_go_on_and_all_else_is_refused(registry: Registry) -> None:
    blob = await push_blob(registry, b"layer")
    data = image(b"layer")
    put = await put_manifest(registry, ALICE, APP, data, None, digest=None, tags=[TAG])
    upload = await begin_upload(registry, ALICE, APP, "sha256")
    await set_read_only(registry, ALICE, "moving")

    assert await stat_blob(registry, ALICE, APP, blob) == 5
    (await open_blob(registry, ALICE, APP, blob)).release()
    for attempt in (
        lambda: begin_upload(registry, ALICE, APP, "sha256"),
        lambda: append_upload(registry, ALICE, APP, upload, source(b"x")),
        lambda: finish_upload(registry, ALICE, APP, upload, digest_of(b"x"), source(b"x")),
        lambda: mount_blob(registry, ALICE, OTHER, blob, APP),
        lambda: put_manifest(registry, ALICE, APP, data, None, digest=None, tags=["2"]),  # type: ignore[list-item]
        lambda: delete_tag(registry, ALICE, APP, TAG),
        lambda: delete_image(registry, ALICE, APP, put.digest),
        lambda: delete_blob(registry, ALICE, APP, blob),
    ):
        with pytest.raises(ReadOnly, match="moving"):
            await attempt()
    state = condition(registry)
    assert (state.pushes, state.pulls) == (False, True)
    assert [one.name for one in state.reasons] == ["read-only"]

    await clear_read_only(registry, ALICE)
    await append_upload(registry, ALICE, APP, upload, source(b"x"))  # It waited, and goes on.
    assert condition(registry).pushes


async def test_who_may_not_learns_nothing_of_it(registry: Registry) -> None:
    await set_read_only(registry, ALICE, "moving")
    with pytest.raises(Denied):
        await begin_upload(registry, EVE, APP, "sha256")


async def test_a_push_that_asked_before_changes_nothing_after(registry: Registry) -> None:
    """The gate closes between the question to the policies and the transaction."""
    await push_blob(registry, b"layer")
    position = registry.store.meta.journal.last
    asked, closed = trio.Event(), trio.Event()
    upload = await begin_upload(registry, ALICE, APP, "sha256")

    async def receive_into(_view: memoryview) -> int:
        asked.set()
        await closed.wait()
        return 0

    refused: list[Exception] = []

    async def finish() -> None:
        try:
            await finish_upload(registry, ALICE, APP, upload, digest_of(b""), Source(receive_into, None, None))
        except ReadOnly as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(finish)
        await asked.wait()
        await set_read_only(registry, ALICE, "")
        with registry.store.meta.read() as txn:
            before = position(txn)
        closed.set()
    assert refused
    with registry.store.meta.read() as txn:
        assert position(txn) == before


async def test_no_record_is_written_behind_a_closed_gate(registry: Registry) -> None:
    registry.gate.close("operator", "moving")
    with pytest.raises(ReadOnly):
        await registry.store.writer.write(
            lambda txn: commit(registry, txn, Act(ALICE, "ecr:PutImage"), lambda _dot, _hlc: [])
        )


async def test_a_restart_remembers_what_an_operator_said(tmp_path: Path, world: World) -> None:
    async with opened(tmp_path / "data", world) as registry:
        await set_read_only(registry, ALICE, " the store moves ")
    async with opened(tmp_path / "data", world) as registry:
        restore_gate(registry)
        state = read_only_state(registry, ALICE)
        assert state.reasons == {"operator": "the store moves"}
        assert state.since == world.now
        await clear_read_only(registry, ALICE)
    async with opened(tmp_path / "data", world) as registry:
        restore_gate(registry)
        assert not read_only_state(registry, ALICE).read_only


async def test_what_the_configuration_says_no_command_takes_back(registry: Registry) -> None:
    registry.gate.close("configuration", "the configuration says so")
    with pytest.raises(NotReady, match="entrepot reload"):
        await clear_read_only(registry, ALICE)
    assert read_only_state(registry, ALICE).read_only


async def test_a_disk_that_takes_no_writes_is_read_only_until_the_next_start(registry: Registry) -> None:
    registry.store.writer.broken = True
    state = await set_read_only(registry, ALICE, "the disk fails")
    assert (state.read_only, state.is_kept) == (True, False)
    with pytest.raises(ReadOnly):
        await begin_upload(registry, ALICE, APP, "sha256")


async def test_nothing_is_collected_and_no_upload_expires(registry: Registry, world: World) -> None:
    blob = await push_blob(registry, b"layer")
    upload = await begin_upload(registry, ALICE, APP, "sha256")
    await append_upload(registry, ALICE, APP, upload, source(b"x"))
    await set_read_only(registry, ALICE, "")
    world.now += 5 * DAY
    assert await collect_step(registry) == 0
    assert await expire_uploads(registry, after=DAY, idle=300) == 0
    assert await stat_blob(registry, ALICE, APP, blob) == 5
    await clear_read_only(registry, ALICE)
    assert await expire_uploads(registry, after=DAY, idle=300) == 1
