"""Containers for tests, without a container engine: an overlay over this machine and a change of root into it.

This machine plays the part of the base image, so what a base brings is not proven here; what a Dockerfile copies, runs
and starts is. Needs root.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.images.dockerfile import ROOT, Stage

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HIDDEN = ("/home", "/root", "/work", str(ROOT))  # an image has no checkout and no user's packages

_ENTER = """
set -eu
mount -t overlay overlay -o "$OPTIONS" "$MERGED"
mount --rbind /dev "$MERGED/dev"
mount -t tmpfs -o mode=1777,size=512m tmpfs "$MERGED/dev/shm"
mount -t proc proc "$MERGED/proc"
for hidden in $HIDDEN; do if [ -d "$MERGED$hidden" ]; then mount -t tmpfs tmpfs "$MERGED$hidden"; fi; done
mount -t tmpfs -o mode=1777 tmpfs "$MERGED/tmp"
mount -t tmpfs tmpfs "$MERGED/run"
for pair in $BINDS; do
    case ${pair#*:} in /run/*) mkdir -p "$MERGED${pair#*:}" ;; esac
    mount --bind "${pair%%:*}" "$MERGED${pair#*:}"
done
exec chroot "$MERGED" "$@"
"""


def enter(
    root: Path, command: Sequence[str], *, read_only: bool, binds: Mapping[Path, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a command with ``root`` over this machine's files; the process is the command itself."""
    work, merged = root.with_name("work"), root.with_name("merged")
    for folder in (root, work, merged):
        folder.mkdir(parents=True, exist_ok=True)
    options = f"{'ro' if read_only else 'rw'},lowerdir=/,upperdir={root},workdir={work}"
    pairs = " ".join(f"{source}:{target}" for source, target in binds.items())
    pip = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
    with log.open("ab") as output:
        return subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh", *command],
            env={"PATH": PATH, "OPTIONS": options, "MERGED": str(merged), "BINDS": pairs, "HIDDEN": " ".join(_HIDDEN)}
            | pip,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def beside(process: subprocess.Popen[bytes], command: Sequence[str], log: Path) -> int:
    """Run a command in a running container, as ``docker exec`` does; its exit status."""
    inside = ["nsenter", f"--target={process.pid}", "--mount", "--root", "--wd=/", *command]
    with log.open("ab") as output:
        return subprocess.run(
            inside, env={"PATH": PATH}, stdout=output, stderr=output, check=False, timeout=60
        ).returncode


def as_user(stage: Stage, environment: Mapping[str, str], command: Sequence[str]) -> list[str]:
    """The command as the stage's user, without any privilege, with the stage's variables and no others."""
    user, group = stage.last("USER").text.split(":")
    unprivileged = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
    unprivileged += ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    variables = {"PATH": PATH, "HOME": "/tmp", **stage.environment, **environment}  # noqa: S108 - inside the image
    assigned = [f"{key}={value}" for key, value in variables.items()]
    return [*unprivileged, "env", "-i", f"--chdir={stage.last('WORKDIR').text}", *assigned, *command]
