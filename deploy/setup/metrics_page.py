"""Write the table of ``docs/metrics.md`` anew from what the code shows; with ``--check`` only say whether it is right.

Usage: ``python -m deploy.setup.metrics_page [--check]``, from the root of the project.
"""

import sys
from pathlib import Path

from node.telemetry.metrics import COUNTED, WATCHED, described

PAGE = Path(__file__).resolve().parents[2] / "docs/metrics.md"
_BEGIN, _END = "<!-- begin of the table -->\n", "<!-- end of the table -->\n"


def page(text: str) -> str:
    """Return *text*, which is the page, with the table that the code has now."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    rows = ["| metric | type | labels | |", "|---|---|---|---|"]
    for name in (*COUNTED, *WATCHED):
        kind, help_, labels = described(name)
        rows.append(f"| `{name}` | {kind} | {labels} | {help_.removesuffix('.')} |")
    return before + _BEGIN + "\n".join(rows) + "\n" + _END + after


def main() -> None:
    """See the module."""
    text = PAGE.read_text()
    if page(text) != text:
        if "--check" in sys.argv:
            raise SystemExit(f"{PAGE} is not what the code shows: run python -m deploy.setup.metrics_page")
        PAGE.write_text(page(text))


if __name__ == "__main__":
    main()
