"""The command line and the node meet at the control socket, wherever the data directory is."""

import stat
from functools import partial
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from node.api.admin.answer import Admin
from node.api.admin.routes import admin_application
from node.cli.main import entrepot
from node.http.limits import Limits
from node.http.listen import Listener, listen_unix
from node.http.serve import serve


async def command(data: Path, *args: str) -> Result:
    run = partial(CliRunner(env={"ENTREPOT_DATA": str(data)}).invoke, entrepot, args)
    return await trio.to_thread.run_sync(run)


@pytest.mark.parametrize("folder", ["short", f"{'long' * 20}/{'long' * 20}"])
async def test_a_command_reaches_the_node(admin: Admin, tmp_path: Path, folder: str) -> None:
    data = tmp_path / folder
    data.mkdir(parents=True)
    stopping, limits = trio.Event(), Limits()
    listener = Listener(listen_unix(data / "control.sock"))
    assert stat.S_IMODE((data / "control.sock").stat().st_mode) == 0o600
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                serve, [listener], admin_application(admin), limits=lambda: limits, stopping=stopping,
                grace=lambda: 1.0, observe=lambda _: None, hit=lambda _: None, report=lambda _: None,
            )
        )  # fmt: skip
        put = await command(data, "pull-through", "put", "team/", "--registry", "222222222222/us-east-1")
        assert (put.stderr, put.exit_code) == ("", 0)
        assert (await command(data, "pull-through", "ls")).stdout == "team/\t222222222222/us-east-1\tteam/\n"
        assert (await command(data, "repo", "ls")).exit_code == 0
        assert (await command(data, "tag", "ls", "no/such")).exit_code == 4
        assert (await command(data, "image", "rm", "forbidden/app:1")).exit_code == 5
        stopping.set()
    assert (await command(data, "repo", "ls")).exit_code == 3
