#!/bin/sh
# Fetch the OHIF viewer (prebuilt) and axe-core (for the accessibility tests) from npm into build/, checked against
# frontend.lock.txt, and make OHIF fit below /ohif/. Nothing is fetched when a page is looked at: a hospital has no
# internet. Safe to run again: a stamp says what is already done.
set -eu
cd "$(dirname "$0")/../.."

lock=tools/install/frontend.lock.txt
stamp="build/ohif/.articula-$(cat "$lock" "$0" | sha256sum | cut -c1-16)"
[ -e "$stamp" ] && exit 0
command -v npm >/dev/null || { echo "npm is missing: the OHIF viewer is left out"; exit 0; }
printf '\033[1mFetching the OHIF viewer (48 MB)\033[0m\n'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # package -> its content in $work/<folder>/package
    line=$(grep "^$1 " "$lock")
    version=$(echo "$line" | cut -d' ' -f2)
    (cd "$work" && npm pack --silent "$1@$version" >packed.txt 2>npm.log) || { tail -5 "$work/npm.log"; exit 1; }
    archive="$work/$(cat "$work/packed.txt")"
    if [ "$(openssl dgst -sha512 -binary "$archive" | base64 -w0)" != "$(echo "$line" | cut -d' ' -f3)" ]; then
        echo "$1 $version is not the package that was checked"
        exit 1
    fi
    mkdir -p "$work/$2"
    tar -xzf "$archive" -C "$work/$2"
}

fetch axe-core axe
mkdir -p build/axe
cp "$work/axe/package/axe.min.js" build/axe/

fetch @ohif/app ohif
new="$work/ohif/package/dist"
# speech and automatic segmentation models, and slide microscopy: 156 of 199 MB that a knee does not need
rm -rf "$new/ort" "$new/dicom-microscopy-viewer" "$new"/*.map "$new/google.js" "$new/silent-refresh.html" \
    "$new/oidc-client.min.js" "$new/_headers" "$new/_redirects" "$new/serve.json"
# it is built for the root of a server
sed -i -e 's#="/#="/ohif/#g' -e "s#PUBLIC_URL = '/'#PUBLIC_URL = '/ohif/'#" "$new/index.html"
sed -i -e 's#__webpack_require__\.p = "/"#__webpack_require__.p = "/ohif/"#' "$new"/*.js
sed -i -e 's#url(/#url(/ohif/#g' "$new"/*.css
cp services/viewer/ohif.js "$new/app-config.js"
rm -rf build/ohif
cp -r "$new" build/ohif
touch "$stamp"
