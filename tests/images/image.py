"""Build an image's files by doing what its Dockerfile says, and start it."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.images.dockerfile import ROOT, Stage, in_context, parse
from tests.images.sandbox import as_user, beside, enter

CACHE = ROOT / "build" / "images"


@dataclass(frozen=True)
class Image:
    """The last stage's files, and how to start it."""

    root: Path
    stage: Stage

    @contextmanager
    def running(
        self, log: Path, *, environment: Mapping[str, str], binds: Mapping[Path, str], arguments: Sequence[str] = ()
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The entry point as its user, without any privilege, on a read-only root with a fresh /tmp."""
        default = self.stage.last("CMD").words if self.stage.all("CMD") else []
        command = [*self.stage.last("ENTRYPOINT").words, *(arguments or default)]
        command = as_user(self.stage, environment, command)
        process = enter(self.root, command, read_only=True, binds=binds, log=log)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def healthy(
        self, process: subprocess.Popen[bytes], log: Path, environment: Mapping[str, str], extra: Sequence[str] = ()
    ) -> bool:
        """Whether the health check of a running container says so."""
        command = [*self.stage.last("HEALTHCHECK").words, *extra]
        return beside(process, as_user(self.stage, environment, command), log) == 0


@dataclass
class Builder:
    """Builds into one folder; stages that install packages are kept under build/ for the next time."""

    folder: Path
    dockerfile: Path
    _roots: dict[str, Path] = field(default_factory=dict)

    def build(self) -> Image:
        """All stages in order; raises ``CalledProcessError`` where a RUN fails."""
        stages = parse(self.dockerfile)
        for stage in stages[:-1]:
            self._roots[stage.name] = self._cached(stage)
        return Image(self._stage(stages[-1], self.folder / "image" / "root"), stages[-1])

    def _cached(self, stage: Stage) -> Path:
        """A stage's files, made once for these instructions and these sources."""
        digest = hashlib.sha256(repr(stage.instructions).encode())
        for copy in stage.all("COPY"):
            for source in copy.copies[1]:
                digest.update((ROOT / source).read_bytes())
        place = CACHE / f"{self.dockerfile.parent.name}-{stage.name}-{digest.hexdigest()[:16]}"
        with _alone(place):
            if not (place / "done").exists():
                shutil.rmtree(place, ignore_errors=True)
                if stage.name == "ohif" and (ROOT / "build/ohif").exists():  # its RUN then finds all of it there
                    _link_tree(ROOT / "build/ohif", place / "root/opt/articula/build/ohif")
                self._stage(stage, place / "root")
                (place / "done").touch()
        return place / "root"

    def _stage(self, stage: Stage, root: Path) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        if "orthanc" in stage.base:
            _what_orthancs_image_has(root)
        workdir = "/"
        for instruction in stage.instructions:
            if instruction.word == "WORKDIR":
                workdir = instruction.text
                (root / workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif instruction.word == "COPY":
                self._copy(*instruction.copies, root=root)
            elif instruction.word == "RUN":
                _run(root, f"cd {workdir} && {instruction.text}", root.with_name("run.log"))
        return root

    def _copy(self, stage: str | None, sources: Sequence[str], target: str, *, root: Path) -> None:
        into = root / target.lstrip("/")
        for source in sources:
            if stage:
                _link_tree(self._roots[stage] / source.lstrip("/"), into)
            elif (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, into, symlinks=True, ignore=_outside_context, dirs_exist_ok=True)
            else:
                assert in_context(ROOT / source), f".dockerignore keeps {source} out"
                place = into / Path(source).name if target.endswith("/") else into
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / source, place)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Tests run in several processes, and two of them may want the same stage."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(root: Path, command: str, log: Path) -> None:
    status = enter(root, ["sh", "-c", command], read_only=False, binds={}, log=log).wait(300)
    assert status == 0, f"RUN {command}\n{log.read_text()[-3000:]}"


def _what_orthancs_image_has(root: Path) -> None:
    """Plugins in a folder of its own and pip for the system's Python, which Debian's packages do otherwise."""
    plugins = root / "usr/share/orthanc/plugins-available"
    plugins.parent.mkdir(parents=True, exist_ok=True)
    plugins.symlink_to("plugins")
    pip = next((ROOT / ".venv/lib").glob("python3.*/site-packages/pip"))
    shutil.copytree(pip, root / "usr/local/lib/python3.11/dist-packages/pip", dirs_exist_ok=True)


def _outside_context(folder: str, names: list[str]) -> list[str]:
    paths = [Path(folder) / name for name in names]
    return [path.name for path in paths if (not path.is_dir() and not in_context(path)) or path.name == "__pycache__"]


def _link_tree(source: Path, target: Path) -> None:
    shutil.copytree(source.resolve(), target, symlinks=True, copy_function=os.link, dirs_exist_ok=True)
