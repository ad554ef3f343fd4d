"""The AWS command line, as it was installed from its lock: one process that runs one command after another.

Each command is the program's own, from its arguments to its exit code; only the second that it takes to start is spent
once. ``Aws.pipe`` runs the program itself, for what a shell does with it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import processes
from tests.e2e.ecr.calls import KEY, REGION, SECRET
from tests.e2e.servers import ROOT

FOLDER = ROOT / "build/aws-cli"

_RUNS = """
import contextlib, io, json, logging, sys
from awscli.clidriver import create_clidriver
for line in sys.stdin:
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = create_clidriver().main(json.loads(line))
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).handlers.clear()
    texts = []
    for one in (out, err):
        one.flush()
        texts.append(one.buffer.getvalue().decode())
    print(json.dumps([code, *texts]), flush=True)
"""


class Failed(AssertionError):
    """A command did not return 0; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Aws:
    """Runs commands against one node."""

    process: "subprocess.Popen[str]"
    environment: dict[str, str]

    def __call__(self, *arguments: str | Path) -> Any:
        """Return what ``aws`` with *arguments* printed, read as JSON; ``None`` where it printed nothing."""
        printed = self.text(*arguments)
        return json.loads(printed) if printed else None

    def text(self, *arguments: str | Path) -> str:
        """Return what it printed."""
        code, printed, said = self.attempt(*arguments)
        if code or said:
            raise Failed(f"aws {' '.join(map(str, arguments))}: {code}\n{printed}{said}")
        return printed

    def attempt(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Return exit code, output and errors."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([*map(str, arguments)]) + "\n")
        self.process.stdin.flush()
        code, printed, said = json.loads(self.process.stdout.readline())
        return code, printed, said

    @property
    def program(self) -> str:
        """The program, for a shell with this environment."""
        return f"{sys.executable} -m awscli"


@contextmanager
def running_aws(
    endpoint: str, home: Path, *, key: str = KEY, secret: str = SECRET, session: str | None = None
) -> Iterator[Aws]:
    """Yield the command line, told of *endpoint* as an operator would: by the environment."""
    if not FOLDER.exists():
        pytest.skip("needs build/aws-cli: `make setup` installs it")
    environment = processes.environment(
        HOME=str(home),
        PYTHONPATH=str(FOLDER),
        AWS_ACCESS_KEY_ID=key,
        AWS_SECRET_ACCESS_KEY=secret,
        AWS_DEFAULT_REGION=REGION,
        AWS_ENDPOINT_URL=endpoint,
        AWS_EC2_METADATA_DISABLED="true",
        AWS_PAGER="",
        **({} if session is None else {"AWS_SESSION_TOKEN": session}),
    )
    process = subprocess.Popen(
        [sys.executable, "-c", _RUNS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    )
    try:
        yield Aws(process, environment)
    finally:
        process.communicate(timeout=processes.GRACE)
