"""A base image with a Python and little else, made of what this machine has: no registry is in reach of the tests."""

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

_LEFT_OUT = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "__pycache__",
}
_APPLETS = ("sh", "mkdir", "chown", "chmod", "ls", "cat", "id", "touch", "find")
_OF_WHEELS = ("libgcc_s.so.1", "libstdc++.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1")


def write_base(file: Path) -> None:
    """Write a root file system as a tar: the interpreter that runs this, pip, the libraries of both, a busybox."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    prefix = Path(sys.base_prefix)
    binary, library = prefix / "bin" / version, prefix / "lib" / version
    with tarfile.open(file, "w") as tar:
        for folder in ("tmp", "proc", "sys", "dev", "run", "var/lib"):
            _add_folder(tar, folder, 0o1777 if folder == "tmp" else 0o755)
        _add_text(tar, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        for path in _files(library):
            _add(tar, path)
        pip = Path(_asked(python_with_pip(), "import pip; print(pip.__file__)")).parent
        for path in _files(pip):
            _add(tar, path, library / "site-packages/pip" / path.relative_to(pip))
        _add(tar, binary)
        for shared in _shared(binary, *(library / "lib-dynload").glob("*.so")):
            _add(tar, shared)
        _add_link(tar, "usr/bin/python3", str(binary))
        busybox = shutil.which("busybox")
        assert busybox is not None
        _add(tar, Path(busybox).resolve(), Path("/bin/busybox"))
        for name in _APPLETS:
            _add_link(tar, f"bin/{name}", "busybox")


def python_with_pip() -> Path:
    """Return a Python of this version that has pip: on some machines an environment has none of its own."""
    own = Path(sys.executable)
    has_pip = subprocess.run([own, "-c", "import pip"], capture_output=True, check=False).returncode == 0
    return own if has_pip else Path(sys.base_prefix) / f"bin/python{sys.version_info.major}.{sys.version_info.minor}"


def _asked(python: Path, program: str) -> str:
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_file() and not _LEFT_OUT & {*inside} and not inside[0].startswith("config-"):
            yield path


def _shared(*binaries: Path) -> set[Path]:
    """Return the shared libraries that these need, and those that wheels do."""
    done = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=True)
    found = set(re.findall(r"(?:=> |^\s+)(/\S+)", done.stdout, re.MULTILINE))
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    found |= {
        line.rpartition(" => ")[2]
        for line in cache.splitlines()
        if line.strip().startswith(_OF_WHEELS) and "64" in line
    }
    return {Path(one) for one in found}


def _add(tar: tarfile.TarFile, path: Path, place: Path | None = None) -> None:
    """Add the file that *path* leads to, owned by root and for everyone to read."""
    entry = tarfile.TarInfo(str(place or path).lstrip("/"))
    real = path.resolve()
    entry.size, entry.mode = real.stat().st_size, 0o755 if os.access(real, os.X_OK) else 0o644
    with real.open("rb") as content:
        tar.addfile(entry, content)


def _add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text)
    tar.addfile(entry, io.BytesIO(text.encode()))
