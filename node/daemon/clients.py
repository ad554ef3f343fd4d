"""What the client port serves: the distribution API, the APIs of ECR and STS, and what those have no operation for."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from node.api.admin.client import PREFIX
from node.api.ecr.dispatch import Parts, ecr_application
from node.api.oci.answer import hurt
from node.api.oci.door import Health
from node.api.oci.downloads import download_application
from node.api.oci.recent import RecentManifests
from node.api.oci.routes import oci_application
from node.api.sts.door import Parts as StsParts
from node.api.sts.door import sts_application
from node.api.sts.form import is_form
from node.daemon.access import Access
from node.daemon.reload import Running
from node.http.message import Application, Request, Response
from node.registry.registry import Registry
from protocol.errors import Damaged


@dataclass(frozen=True, slots=True)
class Shown:
    """What the node shows beside its content."""

    health: Health
    recent: RecentManifests
    damaged: Callable[[Damaged], None]
    """Told of stored bytes that failed their check."""
    report: Callable[[Exception], None]
    """Told of bugs."""


def client_application(
    registry: Registry,
    access: Access,
    running: Running,
    shown: Shown,
    administration: Application,
) -> Application:
    """Return the application of the client port; *administration* serves what is under ``/api/``."""

    def public_host() -> str | None:
        return next(iter(running.config.listen.public_hosts), None)

    distribution = oci_application(
        registry, shown.health, shown.recent, entrance=access.entrance, damaged=shown.damaged
    )
    calls = ecr_application(Parts(registry, access.entrance, public_host, shown.damaged, shown.report))
    downloads = download_application(registry, shown.damaged)

    sessions = sts_application(StsParts(registry, access.entrance, access.federation, shown.damaged))

    def application(request: Request) -> Awaitable[Response]:  # No coroutine of its own: pulls go through here.
        if request.path == "/":
            if is_form(request):
                return sessions(request)
            if request.method == "POST":
                return calls(request)
        if request.path.startswith("/download/"):
            return downloads(request)
        if request.path == "/token" and access.tokens is not None:
            return _unhurt(access.tokens, request, shown.damaged)
        if request.path.startswith(PREFIX):
            return _unhurt(administration, request, shown.damaged)
        return distribution(request)

    return application


async def _unhurt(application: Application, request: Request, damaged: Callable[[Damaged], None]) -> Response:
    """Answer by *application*; where what says who sends the request is damaged, that is told as at other doors."""
    try:
        return await application(request)
    except Damaged as error:
        return hurt(error, damaged)
