#!/bin/sh
# Write requirements.lock anew: every package of pyproject.toml, at its newest allowed version, with the hashes of all
# files of that release, for every platform and each Python from 3.11 on (markers tell them apart).
# Where the packages come from is pip's configuration; the resolver is told of it, and the lock does not name it.
set -eu
cd "$(dirname "$0")/../.."
python=.venv/bin/python
tool=build/uv
"$python" -m pip install --quiet --upgrade --target "$tool" uv
index=$("$python" -m pip config get global.index-url 2>/dev/null || true)
index=${PIP_INDEX_URL:-$index}
exec "$tool/bin/uv" pip compile ${index:+--default-index "$index"} --universal --python-version 3.11 --extra dev \
    --generate-hashes --no-emit-package entrepot --upgrade --quiet \
    --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml deploy/setup/build.in
