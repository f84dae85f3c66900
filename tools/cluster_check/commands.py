"""The two programs the check runs beside the client: helm, and kubectl for one forwarded port."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.cluster_check.cluster import CheckFailed

CHART = Path(__file__).resolve().parents[2] / "charts" / "articula"


@dataclass(frozen=True)
class Release:
    """Where the chart goes and with which values."""

    name: str
    namespace: str
    context: str
    values: tuple[Path, ...]
    chart: Path = CHART

    def install(self, *, seconds: int) -> None:
        """Install or upgrade, and wait for what helm waits for; raises ``CheckFailed`` with helm's words."""
        files = [word for path in self.values for word in ("--values", str(path))]
        wait = ["--create-namespace", "--wait", "--timeout", f"{seconds}s"]
        self._helm("upgrade", "--install", self.name, str(self.chart), *files, *wait)

    def remove(self) -> None:
        """Uninstall; volumes of StatefulSets stay, as Kubernetes means it. Raises ``CheckFailed``."""
        self._helm("uninstall", self.name, "--wait")

    def _helm(self, *arguments: str) -> None:
        command = ["helm", *arguments, "--namespace", self.namespace, *_context("--kube-context", self.context)]
        _run(command)

    @contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[str]:
        """A URL on loopback that leads to a Service while the body runs; raises ``CheckFailed``."""
        command = ["kubectl", *_context("--context", self.context), "--namespace", self.namespace]
        process = subprocess.Popen(
            [*command, "port-forward", f"service/{service}", f":{port}"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            if found is None:
                message = f"kubectl forwards no port to {service}"
                raise CheckFailed(message)
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()
            process.wait()


def _context(option: str, name: str) -> list[str]:
    return [option, name] if name else []


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        message = f"{command[0]} is not installed"
        raise CheckFailed(message) from error
    except subprocess.CalledProcessError as error:
        raise CheckFailed(error.stderr.strip()) from error
