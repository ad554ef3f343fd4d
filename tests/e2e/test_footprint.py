"""What is measured of a node is what it holds: a reader, a descriptor and an upload that are open are seen."""

from pathlib import Path

import lmdb
import pytest

from tests.e2e.footprint import active_readers, at_rest, footprint
from tests.e2e.pushes import Client
from tests.e2e.servers import RIVAL, Server


def test_an_open_reader_is_counted_and_an_ended_one_is_not(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), max_readers=256, lib_version=0) as env:
        with env.begin(write=True) as txn:
            txn.put(b"a", b"b")
        assert active_readers(tmp_path / "lock.mdb") == 0
        with env.begin(), env.begin():
            assert active_readers(tmp_path / "lock.mdb") == 2
        assert active_readers(tmp_path / "lock.mdb") == 0


@pytest.mark.skipif(RIVAL, reason="docker-registry tells other numbers")
def test_what_a_client_holds_is_seen(plain_server: Server, repository: str) -> None:
    before = at_rest(plain_server, patience=10)
    clients = [Client(plain_server) for _ in range(20)]
    for client in clients:
        client.open_upload(repository)
    after = footprint(plain_server)
    for client in clients:
        client.close()
    assert after.uploads == before.uploads + 20
    # Connections of before may be ending still.
    assert after.descriptors >= before.descriptors + 15
    assert after.connections >= before.connections + 15
    assert after.memory > 10 * 2**20
    assert not after.is_at_rest
