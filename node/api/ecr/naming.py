"""Names of repositories, as the service of a call has them.

Both services call their repositories ``team/app``; which one is meant the service decides. So handlers that serve both
take what a call names from here, and answer with the name that was given.
"""

from node.api.ecr.door import Door
from node.registry.repositories import unknown
from protocol.auth.arn import repository_of_arn
from protocol.auth.public import PREFIX, public_repository, public_uri
from protocol.oci.names import RepositoryName, repository_name


def own_repository(door: Door) -> RepositoryName:
    """Return the repository that the call is about; what is wrong with its name the shape has told."""
    return repository_named(door, door.given["repositoryName"])


def repository_named(door: Door, text: str) -> RepositoryName:
    """Return the repository that the service of the call names *text*.

    Raises:
        NameUnknown: it is that of a public repository, and the service is the private one.
    """
    return private_repository(door, text) if door.service == "ecr" else public_repository(door.account, text)


def private_repository(door: Door, text: str) -> RepositoryName:
    """Return *text* as the name of a private repository; ``NameUnknown`` where it is that of a public one."""
    name = repository_name(text)
    if name.startswith(PREFIX):
        raise unknown(door.registry, name)
    return name


def repository_of_resource(door: Door) -> RepositoryName:
    """Return the repository whose ARN the call names.

    Raises:
        ParameterInvalid: it is no ARN of a repository of the service.
        NameUnknown: it is one of another registry.
    """
    arn = door.given["resourceArn"]
    name = repository_of_arn(arn, door.registry.name, door.service)
    if name is None:
        raise unknown(door.registry, RepositoryName(arn.rpartition(":repository/")[2]))
    return repository_named(door, name)


def repository_uri(door: Door, name: str) -> str:
    """Return what the names of images begin with in the repository that the service calls *name*: no scheme."""
    return f"{door.host if door.service == 'ecr' else public_registry_uri(door)}/{name}"


def public_registry_uri(door: Door) -> str:
    """Return what the names of all public images begin with."""
    return public_uri(door.registry.settings.public, door.account, door.host)
