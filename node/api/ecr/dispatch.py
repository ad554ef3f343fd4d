"""The application: which operation a request is for, who sends it, and what comes of it.

The order is the same for all: the operation has to exist, its body to fit; then the caller is found, for whoever is not
known learns nothing of what is wrong with the input; then the input is read and checked; then the handler authorizes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from node.api.ecr.answer import answered, failed, refused
from node.api.ecr.body import Bodies, blob_members, read_input
from node.api.ecr.door import Door, Given, Operation, Service
from node.api.ecr.operations import OPERATIONS
from node.http.entrance import Entrance, shown_scheme
from node.http.message import Application, Request, Response
from node.registry.audit.notes import stranger
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.ecr.private import PRIVATE
from protocol.ecr.public import PUBLIC
from protocol.ecr.shapes import Model, check_input
from protocol.errors import Damaged, Denied, NameUnknown, OperationUnknown, Refusal, RegistryUnknown, SignatureMissing

_MODELS: Mapping[Service, Model] = {"ecr": PRIVATE, "ecr-public": PUBLIC}
_UNDECLARED: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Row:
    """An operation with what its model says of it."""

    operation: Operation
    model: Model
    errors: frozenset[str]
    blobs: frozenset[str]
    route: str  # As the log has it.


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of."""

    registry: Registry
    entrance: Entrance
    public_host: Callable[[], str | None]
    """HOST or HOST:PORT as which the operator publishes this node, where one is configured."""
    damaged: Callable[[Damaged], None]
    """Told of stored bytes that failed their check."""
    report: Callable[[Exception], None]
    """Told of bugs."""
    bodies: Bodies = field(default_factory=Bodies)


def ecr_application(parts: Parts) -> Application:
    """Return what serves ``POST /`` on the client port."""
    rows = {f"{_MODELS[one.service].target}.{one.name}": _row(one) for one in OPERATIONS}

    async def application(request: Request) -> Response:
        row = rows.get(request.headers.get("x-amz-target", ""))
        if row is None:
            return refused(request.id, OperationUnknown("There is no such operation"), _UNDECLARED)
        request.route = row.route
        try:
            return answered(request.id, await _call(parts, row, request))
        except Refusal as refusal:
            return refused(request.id, refusal, row.errors)
        except Damaged as error:
            parts.damaged(error)
            return failed(request.id, "What is stored here is damaged; the operator has been told")
        except trio.BrokenResourceError:
            raise  # The client went away.
        except Exception as error:  # noqa: BLE001 - the root of a call: SDKs read JSON alone, of a bug as well.
            parts.report(error)
            return failed(request.id, "Something went wrong here; the log tells of it under the id of the request")

    return application


async def _call(parts: Parts, row: _Row, request: Request) -> dict[str, object]:
    name = row.operation.name
    if parts.bodies.is_large(name):
        parts.entrance.admit(request)
    async with parts.bodies.received(name, request.body) as body:
        notes, action, resource = parts.registry.notes_of_audit, row.route, ""
        caller = stranger(request.client, request.id)
        try:
            caller = await parts.entrance.identify(request, body)
            if not caller.account:
                raise SignatureMissing("Missing Authentication Token")
            given = check_input(row.model, name, await read_input(body, row.blobs))
            resource = _resource(given)
            _require_own_registry(parts.registry, row, caller, given)
            host = parts.public_host() or request.host
            door = Door(parts.registry, row.operation.service, name, given, host, shown_scheme(request), request.host)
            result = await row.operation.handler(door, caller, given)
        except Refusal as refusal:
            notes.refused(caller, action, resource, refusal)
            raise
        notes.note(caller, action, resource)
        return result


def _resource(given: Given) -> str:
    """Return what a call is about, for the audit."""
    names = ("repositoryName", "resourceArn", "prefix", "ecrRepositoryPrefix", "principalArn", "name")
    return next((str(given[name]) for name in names if name in given), "")


def _require_own_registry(registry: Registry, row: _Row, caller: Caller, given: Given) -> None:
    """Refuse calls for the registry of another account, without a word on whether there is one."""
    wanted = given.get("registryId", registry.name.account)
    if wanted == registry.name.account:
        return
    if row.operation.service == "ecr-public" and wanted == registry.settings.public.alias:
        return
    if "RegistryNotFoundException" in row.errors:
        raise RegistryUnknown(f"The registry with id '{wanted}' does not exist")
    action, name = row.operation.actions[0], given.get("repositoryName")
    if name is not None and "RepositoryNotFoundException" in row.errors:
        raise NameUnknown(f"The repository with name '{name}' does not exist in the registry with id '{wanted}'")
    raise Denied(
        f"User: {caller.arn} is not authorized to perform: {action} on registry {wanted} "
        f"because no resource-based policy allows the {action} action"
    )


def _row(operation: Operation) -> _Row:
    model = _MODELS[operation.service]
    errors = frozenset(model.operations[operation.name].errors)
    blobs = blob_members(model, operation.name)
    return _Row(operation, model, errors, blobs, f"{operation.service}:{operation.name}")
