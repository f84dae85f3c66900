#!/bin/sh
# Keep the python backend's stub for one version of Python and drop the others: place_stub.sh <tritonserver> <version>
set -eu
server=$1
version=$2
stub=$server/python_backend_stubs/$version/triton_python_backend_stub
cp "$stub" "$server/backends/python/triton_python_backend_stub.new"
mv "$server/backends/python/triton_python_backend_stub.new" "$server/backends/python/triton_python_backend_stub"
chmod 0755 "$server/backends/python/triton_python_backend_stub"
rm -rf "$server/python_backend_stubs"
