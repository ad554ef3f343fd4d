"""The table of ECR's operations: all of both services are there, each asks the policies, and the page says so."""

import pytest

from node.api.ecr.door import Operation
from node.api.ecr.operations import OPERATIONS
from protocol.ecr.private import PRIVATE
from protocol.ecr.public import PUBLIC
from tests.ecr_page import KEPT, PAGE, page


def test_all_operations_of_both_models_are_there_once() -> None:
    named = [(one.service, one.name) for one in OPERATIONS]
    wanted = {("ecr", name) for name in PRIVATE.operations} | {("ecr-public", name) for name in PUBLIC.operations}
    assert len(named) == len(set(named)) == 62 + 23
    assert set(named) == wanted
    assert wanted > KEPT.keys()


def test_an_operation_that_asks_nobody_is_no_operation() -> None:
    with pytest.raises(ValueError, match="has no action"):
        Operation("ecr", "GetEverything", (), OPERATIONS[0].handler)


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text() == page(), "run .venv/bin/python -m tests.ecr_page"
