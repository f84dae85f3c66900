#!/bin/sh
# Generate services/common/pb from the proto. A test fails when the committed code is out of date.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-.}
mkdir -p "$out/services/common/pb"
.venv/bin/python -m grpc_tools.protoc -Iservices/common/pb=proto/articula/v1 \
    --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" services/common/pb/analysis.proto
