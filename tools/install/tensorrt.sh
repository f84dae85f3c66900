#!/bin/sh
# Put TensorRT-RTX into .venv, for the tests that build engines without a GPU: 90 MB under NVIDIA's licence, which is why
# only "make test" does it. Without it those tests are skipped. Safe to run again.
set -eu
cd "$(dirname "$0")/../.."

lock=tools/install/tensorrt.lock.txt
stamp=".venv/.articula-tensorrt-$(sha256sum "$lock" | cut -c1-16)"
[ -e "$stamp" ] && exit 0
[ "$(uname -m)" = x86_64 ] || { echo "TensorRT-RTX is locked for x86-64 alone; tests that build engines are skipped"; exit 0; }
printf '\033[1mInstalling TensorRT-RTX for the tests of engines\033[0m\n'
.venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps --require-hashes -r "$lock"
touch "$stamp"
