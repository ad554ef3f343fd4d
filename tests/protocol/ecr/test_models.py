"""The tables of the API are those of the service models, as botocore has them."""

from pathlib import Path

import pytest

from tests.ecr_models import FOLDER, TABLES, formatted, table


@pytest.mark.parametrize("module", TABLES)
def test_the_table_is_what_the_model_says(module: str) -> None:
    """Where botocore has a newer model: ``python -m tests.ecr_models``."""
    written = Path(FOLDER / f"{module}.py").read_text()
    assert written == formatted(table(*TABLES[module]))
