"""What the client port serves: the distribution API, and ECR's API beside it."""

from collections.abc import Awaitable, Callable

from node.api.ecr.dispatch import Parts, ecr_application
from node.api.oci.door import Health
from node.api.oci.recent import RecentManifests
from node.api.oci.routes import CallerOf, oci_application
from node.daemon.reload import Running
from node.http.message import Application, Request, Response
from node.peers.identity import Identity
from node.registry.registry import Registry
from protocol.auth.caller import Caller, root_of
from protocol.errors import Damaged


def client_application(
    registry: Registry,
    identity: Identity,
    running: Running,
    health: Health,
    recent: RecentManifests,
    damaged: Callable[[Damaged], None],
) -> Application:
    """Return the application of the client port. *damaged* is told of stored bytes that failed their check."""
    caller_of = everyone_is_root(registry)

    async def caller_of_call(request: Request, _body: bytes) -> Caller:
        return caller_of(request)

    def public_host() -> str | None:
        return next(iter(running.config.listen.public_hosts), None)

    distribution = oci_application(registry, health, recent, caller_of=caller_of, damaged=damaged)
    calls = ecr_application(
        Parts(registry, caller_of_call, public_host, identity.derived_key("pages of the ECR API"), damaged)
    )

    def application(request: Request) -> Awaitable[Response]:  # No coroutine of its own: pulls go through here.
        if request.path == "/" and request.method == "POST":
            return calls(request)
        return distribution(request)

    return application


def everyone_is_root(registry: Registry) -> CallerOf:
    """Return what makes everyone root of the registry's account, as on a node that is open."""
    account = registry.name.account
    root = root_of(account)
    return lambda request: Caller(root, account, request.client, request.id)
