"""Write bench/results.md: what was measured, on what, how, against which target, and whether it is met."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.rounds import Figure
from tests.e2e.servers import ROOT, entrepot

FILE = Path(__file__).with_name("results.md")
PROGRAMS = {
    "docker-registry": ["docker-registry", "--version"],
    "nginx": ["nginx", "-v"],
    "skopeo": ["skopeo", "--version"],
    "curl": ["curl", "--version"],
}


def write(figures: Sequence[Figure], parts: Sequence[str]) -> None:
    """Replace the file by *figures*."""
    FILE.write_text(render(figures, parts))


def render(figures: Sequence[Figure], parts: Sequence[str]) -> str:
    """Return the page."""
    lines = [
        "# Results",
        "",
        f"Written by `make bench` (parts: {', '.join(parts)}) on {_machine()}.",
        f"Versions: {_versions()}.",
        "",
        "Every figure is a median; where two servers are compared they took turns in one run, and the ratio is that of",
        "the medians. Behind each median: the least and the most of its rounds.",
        "What bounds the figures that are missed is in [bounds.md](bounds.md).",
        "",
        "| figure | entrepot | others | ratio | target | |",
        "|---|---|---|---|---|---|",
        *(row(figure) for figure in figures),
        "",
        "How each was measured:",
        "",
        *(f"- {figure.name}: {figure.method}; {_rounds(figure)}." for figure in figures),
        "",
    ]
    return "\n".join(lines)


def row(figure: Figure) -> str:
    """Return the line of the table."""
    others = ", ".join(f"{name} {_value(figure, name)}" for name in figure.values if name != "entrepot")
    if figure.rival:
        ratio, target = f"{figure.ratio:.2f}x {figure.rival}", f">= {figure.target:g}x"
    else:
        ratio, target = "", f"<= {figure.target:g} {figure.unit}"
    met = "met" if figure.met else "**missed**"
    return f"| {figure.name} | {_value(figure, 'entrepot')} | {others} | {ratio} | {target} | {met} |"


def _value(figure: Figure, name: str) -> str:
    values = figure.values[name]
    text = _scaled(figure.medians[name], figure.unit)
    if len(values) == 1:
        return text
    return f"{text} ({_scaled(min(values), figure.unit)} to {_scaled(max(values), figure.unit)})"


def _scaled(value: float, unit: str) -> str:
    if unit == "B/s":
        return f"{value / 1e6:,.0f} MB/s"
    return f"{value:,.0f} {unit}" if value >= 20 else f"{value:.2f} {unit}"


def _rounds(figure: Figure) -> str:
    count = max(len(values) for values in figure.values.values())
    return "once" if count == 1 else f"{count} rounds"


def _machine() -> str:
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    processor = model[1] if model else platform.machine()
    return f"{os.cpu_count()} cores ({processor}), {memory:.0f} GiB of memory, Linux {platform.release().split('-')[0]}"


def _versions() -> str:
    found = [f"entrepot {_number(entrepot('version'))}", f"Python {platform.python_version()}"]
    for name, command in PROGRAMS.items():
        found.append(f"{name} {_number(command)}")
    return ", ".join(found)


def _number(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    found = re.search(r"\d+\.\d+[\w.]*", done.stdout + done.stderr)
    return found[0] if found else "?"
