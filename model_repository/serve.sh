#!/bin/sh
# Start tritonserver as process 1, so that it hears SIGTERM itself. Arguments given here come last and win.
#   ARTICULA_TRITON_HOME  folder with bin/tritonserver and backends/
#   ARTICULA_MODELS       model repository; the image's own unless given
#   ARTICULA_TLS_FOLDER   folder with tls.crt, tls.key and ca.crt: gRPC is then mutual TLS
#   ARTICULA_EXIT_SECONDS how long requests in work may take after SIGTERM
set -eu
home=${ARTICULA_TRITON_HOME:?}
tls=${ARTICULA_TLS_FOLDER:-}
if [ -n "$tls" ]; then
    set -- --grpc-use-ssl=true --grpc-use-ssl-mutual=true --grpc-server-cert="$tls/tls.crt" \
        --grpc-server-key="$tls/tls.key" --grpc-root-cert="$tls/ca.crt" "$@"
fi
# HTTP answers probe.py alone, on loopback. Models are never loaded or changed at run time.
exec "$home/bin/tritonserver" \
    --model-repository="${ARTICULA_MODELS:-/opt/articula/model_repository}" \
    --backend-directory="$home/backends" \
    --model-control-mode=none \
    --disable-auto-complete-config \
    --http-address=127.0.0.1 \
    --grpc-address=0.0.0.0 \
    --metrics-address=0.0.0.0 \
    --exit-timeout-secs="${ARTICULA_EXIT_SECONDS:-60}" \
    "$@"
