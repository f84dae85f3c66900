#!/bin/sh
# Put Debian's prometheus and promtool under build/prometheus, without installing the package: no root, no service that
# starts. apt checks its signature. Safe to run again; where there is no such package, nothing happens.
set -eu
cd "$(dirname "$0")/../.."

[ -x build/prometheus/prometheus ] && exit 0
if installed=$(command -v prometheus); then
    mkdir -p build/prometheus
    ln -sf "$installed" build/prometheus/prometheus
    exit 0
fi
command -v apt-get >/dev/null || exit 0
printf '\033[1mFetching Prometheus (19 MB)\033[0m\n'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get download prometheus >apt.log 2>&1) || { tail -3 "$work/apt.log"; exit 0; }
dpkg-deb -x "$work"/prometheus_*.deb "$work/package"
mkdir -p build/prometheus
mv "$work/package/usr/bin/promtool" build/prometheus/promtool
mv "$work/package/usr/bin/prometheus" build/prometheus/prometheus
