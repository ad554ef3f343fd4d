"""Names of repositories, as the private service has them."""

from node.api.ecr.door import Door
from node.registry.repositories import unknown
from protocol.auth.public import PREFIX
from protocol.oci.names import RepositoryName, repository_name


def own_repository(door: Door) -> RepositoryName:
    """Return the private repository that the call is about; what is wrong with its name the shape has told."""
    return private_repository(door, door.given["repositoryName"])


def private_repository(door: Door, text: str) -> RepositoryName:
    """Return *text* as the name of a private repository; ``NameUnknown`` where it is that of a public one."""
    name = repository_name(text)
    if name.startswith(PREFIX):
        raise unknown(door.registry, name)
    return name


def repository_uri(door: Door, name: str) -> str:
    """Return what the names of images in the repository begin with: no scheme."""
    return f"{door.host}/{name}"
