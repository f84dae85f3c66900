#!/bin/sh
# Put an S3 store and the "aws" program into build/store-venv, for the test that copies models from a bucket: 45 MB,
# which is why only "make test" and "make chart" do it. Without them that test is skipped. Safe to run again.
set -eu
cd "$(dirname "$0")/../.."

lock=tools/install/store.lock.txt
stamp="build/store-venv/.articula-$(sha256sum "$lock" | cut -c1-16)"
[ -e "$stamp" ] && exit 0
printf '\033[1mInstalling an S3 store for the tests of the chart\033[0m\n'
[ -x build/store-venv/bin/python ] || .venv/bin/python -m venv build/store-venv
build/store-venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock" 2>build/pip.log ||
    { tail -20 build/pip.log; exit 1; }
touch "$stamp"
