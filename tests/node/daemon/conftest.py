"""A registry for each test; see ``tests.node.registry.world``."""

from tests.node.registry.conftest import registry, world

__all__ = ["registry", "world"]
