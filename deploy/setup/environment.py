"""Make ``.venv``: the locked packages, the project itself, and everything compiled to byte code.

Usage: ``python3 deploy/setup/environment.py``, from anywhere, with the standard library alone.

A fresh machine has python3, pip and make, and often no more: Debian keeps ``ensurepip`` in a package of its own, some
containers lack ``venv`` too. So the environment is made by the first of these that works: ``venv`` with its own pip;
``venv`` without one, filled by the pip outside (``pip --python``, since pip 22.3); ``virtualenv``, fetched by pip into
``build/``. Where packages come from is pip's own configuration and is left alone; the hashes in ``requirements.lock``
decide what is accepted. The project is installed editable, and its build needs nothing that is not in the lock.

The stamp ``.venv/.ready`` names the folder and the interpreter, so that the Makefile can tell an environment that was
moved, or whose Python was replaced, from one that can be used.
"""

import compileall
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST = (3, 11)
CANDIDATES = ("python3.14", "python3.13", "python3.12", "python3.11")  # Tried where python3 itself is too old.


def main() -> None:
    """Make the environment anew, or say what is missing and leave with 1."""
    _need_a_recent_python()
    if VENV.exists():
        shutil.rmtree(VENV)
    pip = _make_environment()
    _run([*pip, "install", "--quiet", "--require-hashes", "-r", str(ROOT / "requirements.lock")])
    _run([*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
    for folder in ("node", "protocol"):  # pip has compiled the rest; an uncompiled start is a second slower.
        compileall.compile_dir(ROOT / folder, quiet=2)
    (VENV / ".ready").write_text(f"{ROOT} {PYTHON.resolve()}\n")


def _need_a_recent_python() -> None:
    if sys.version_info >= OLDEST:
        return
    for name in CANDIDATES:
        if found := shutil.which(name):
            os.execv(found, [found, *sys.argv])
    raise SystemExit(
        f"entrepot needs Python {OLDEST[0]}.{OLDEST[1]} or later; {sys.executable} is {sys.version.split()[0]}. "
        f"Install one, and name it: make PYTHON=/path/to/python3"
    )


def _make_environment() -> list[str]:
    """Return the pip that fills the new environment, as the beginning of a command."""
    outer_pip = [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    if importlib.util.find_spec("venv") is not None:
        if importlib.util.find_spec("ensurepip") is not None:
            _run([sys.executable, "-m", "venv", str(VENV)])
            return [str(PYTHON), "-m", "pip"]
        if importlib.util.find_spec("pip") is not None:
            _run([sys.executable, "-m", "venv", "--without-pip", str(VENV)])
            return outer_pip
    if importlib.util.find_spec("pip") is not None:
        virtualenv = ROOT / "build/virtualenv"
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(virtualenv), "virtualenv"])
        _run([sys.executable, "-m", "virtualenv", "--quiet", str(VENV)], PYTHONPATH=str(virtualenv))
        return [str(PYTHON), "-m", "pip"]
    raise SystemExit(
        f"{sys.executable} has neither ensurepip nor pip, so no environment can be filled.\n"
        f"Install them (Debian, Ubuntu: apt-get install python3-venv python3-pip), or name another Python: "
        f"make PYTHON=/path/to/python3"
    )


def _run(command: list[str], **variables: str) -> None:
    done = subprocess.run(command, env=os.environ | variables, check=False)
    if done.returncode:
        raise SystemExit(f"set-up failed at: {' '.join(command)}")


if __name__ == "__main__":
    main()
