"""Nodes find one another, stay together, and ask one another, whoever dialled."""

import trio


async def test_two(cluster, wait_until) -> None:
    a = await cluster.init("a")
    b = await cluster.join("b", a.invite())
    await wait_until(lambda: a.mesh.sessions() and b.mesh.sessions(), a, b)
    assert b.identity.registry_key == a.identity.registry_key
    for one, other in ((a, b), (b, a)):
        session = one.mesh.sessions()[0]
        print(session.standing.dialled_by_us)
        async with session.call("hello", b"x" * 10) as reply:
            assert reply.status == 200
            assert await reply.read(100) == b"hello:xxxxxxxxxx"
    a.stop()
    b.stop()
