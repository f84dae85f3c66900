#!/bin/sh
# Set up everything "make" needs on Debian 12 or Ubuntu 22.04 and later: system packages and two Python environments.
# Safe to run again: a stamp under build/ says what is already done.
set -eu
cd "$(dirname "$0")/../.."

packages="orthanc orthanc-python orthanc-dicomweb dcmtk dicom3tools ca-certificates chromium openssl"
# with which the fault harness loses packets and steps clocks
packages="$packages iproute2 nftables libfaketime"
command -v npm >/dev/null || packages="$packages npm"
mkdir -p build

say() { printf '\033[1m%s\033[0m\n' "$*"; }

installed() { # a removed package still has a status, so its words count
    dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed
}

missing=""
for package in $packages; do
    installed "$package" || missing="$missing $package"
done

# The Triton wheel needs numpy<2, which exists up to Python 3.12; its python backend needs the shared libpython.
python=""
for version in 3.11 3.12; do
    candidate=/usr/bin/python$version
    if [ -x "$candidate" ]; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    version=3.11
    apt-cache show python3.11 >/dev/null 2>&1 || version=3.12
    python=/usr/bin/python$version
    missing="$missing python$version"
fi
installed "python$version-venv" || missing="$missing python$version-venv"
# asked for by file, because Ubuntu 24.04 gives the package another name
ls /usr/lib/*/"libpython$version.so.1.0" >/dev/null 2>&1 || missing="$missing libpython$version"

if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "These system packages are missing. Run this one command, then the same make target again:"
        echo "    sudo apt-get install -y$missing"
        exit 1
    fi
    say "Installing system packages:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >build/apt.log 2>&1 || { tail -20 build/apt.log; exit 1; }
    # Debian starts the Orthanc it has just installed, on the ports ours uses; one that was here before stays
    case " $missing " in *" orthanc "*)
        if [ -d /run/systemd/system ]; then systemctl disable --quiet --now orthanc || true
        elif [ -x /etc/init.d/orthanc ]; then /etc/init.d/orthanc stop >/dev/null 2>&1 || true; fi ;;
    esac
fi

environment() { # folder, lock file
    stamp="$1/.articula-$(sha256sum "$2" | cut -c1-16)"
    [ -e "$stamp" ] && return
    say "Installing Python packages into $1 (about a minute)"
    [ -x "$1/bin/python" ] || "$python" -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$2" 2>build/pip.log ||
        { tail -20 build/pip.log; exit 1; }
    touch "$stamp"
}
environment .venv tools/install/articula.lock.txt
environment build/triton-venv tools/install/triton.lock.txt
tools/install/frontend.sh
tools/install/helm.sh
tools/install/prometheus.sh
