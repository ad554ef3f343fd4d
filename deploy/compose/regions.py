"""The steps between the nodes of the demo: found an account, let regions join, put rules. Each can be repeated.

Usage: ``regions.py found|join|rules``, with the standard library and the ``entrepot`` command. ``REGIONS`` names what
there is, the first one being the founder: ``eu=/eu us=/us`` (name and data directory, which commands reach a running
node by).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ACCOUNT = "111111111111"
REGIONS = {"eu": "eu-west-1", "us": "us-east-1", "ap": "ap-south-1"}


def main() -> None:
    """Take the step that the command line names."""
    places = {name: Path(folder) for name, _, folder in (one.partition("=") for one in os.environ["REGIONS"].split())}
    founder, *others = places
    match sys.argv[1:]:
        case ["found"]:
            if _is_new(places[founder]):
                _entrepot("init", "--account", ACCOUNT, "--region", REGIONS[founder], "--data", places[founder])
        case ["join"]:
            for name in others:
                if _is_new(places[name]):
                    told = _entrepot("invite", "--region", REGIONS[name], "--data", places[founder])
                    _entrepot("join", told.split()[-1], "--data", places[name])
        case ["rules"]:
            _put_rules(places[founder], others)
            upstream = f"{ACCOUNT}/{REGIONS[founder]}"
            for name in others:
                flags = ("--registry", upstream, "--upstream-prefix", "ROOT")
                _entrepot("pull-through", "put", f"{founder}/", *flags, "--data", places[name])
        case _:
            raise SystemExit(__doc__)


def _is_new(folder: Path) -> bool:
    return not (folder / "identity").exists()


def _put_rules(folder: Path, others: list[str]) -> None:
    destinations = [{"region": REGIONS[name], "registryId": ACCOUNT} for name in others]
    filters = [{"filter": "team/", "filterType": "PREFIX_MATCH"}]
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=folder) as file:
        json.dump({"rules": [{"destinations": destinations, "repositoryFilters": filters}]}, file)
        file.flush()
        _entrepot("replication", "put", file.name, "--data", folder)


def _entrepot(*arguments: str | Path) -> str:
    """Run a command; return what it printed, and end with what it said where it fails."""
    done = subprocess.run(["entrepot", *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
