#!/bin/sh
# Write the locks anew: requirements.lock has every package of pyproject.toml at its newest allowed version,
# deploy/setup/runtime.lock those of them that a node needs to run, build.lock those that its wheel is built with,
# aws-cli.lock the AWS command line. All have the hashes of all files of each release, for every platform and each Python
# from 3.11 on (markers tell them apart). Where the packages come from is pip's configuration; the resolver is told of it,
# and the locks do not name it.
set -eu
cd "$(dirname "$0")/../.."
python=.venv/bin/python
tool=build/uv
"$python" -m pip install --quiet --upgrade --target "$tool" uv
index=$("$python" -m pip config get global.index-url 2>/dev/null || true)
index=${PIP_INDEX_URL:-$index}
compile() {
    "$tool/bin/uv" pip compile ${index:+--default-index "$index"} --universal --python-version 3.11 --generate-hashes \
        --no-emit-package entrepot --quiet --custom-compile-command "make lock" "$@"
}
compile --extra dev --upgrade --output-file requirements.lock pyproject.toml deploy/setup/build.in
compile --upgrade --constraint requirements.lock --output-file deploy/setup/runtime.lock pyproject.toml
compile --upgrade --constraint requirements.lock --output-file deploy/setup/build.lock deploy/setup/build.in
compile --upgrade --output-file deploy/setup/aws-cli.lock deploy/setup/aws-cli.in
