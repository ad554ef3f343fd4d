"""``docs/metrics.md`` has each metric that a node shows, as the code describes it."""

from deploy.setup.metrics_page import PAGE, page


def test_the_page_has_the_table_of_the_code() -> None:
    text = PAGE.read_text()
    assert page(text) == text, "run .venv/bin/python -m deploy.setup.metrics_page"
