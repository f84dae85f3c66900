"""A real Prometheus with the chart's own rules: it is told of pods by a file, as an operator tells it by an API."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from tools.simulate_autoscaling.chart import NAMESPACE, Rendered
from tools.stack.plan import free_port
from tools.stack.triton_server import ROOT

SERVER = ROOT / "build" / "prometheus" / "prometheus"
_SECONDS = 5.0


class PrometheusMissing(Exception):
    """There is no Prometheus on this machine, and none can be fetched."""


@dataclass(frozen=True)
class Prometheus:
    """The server's address, and the file that names its targets."""

    url: str
    targets: Path

    def scrape(self, ports: Mapping[str, int]) -> None:
        """Scrape these pods from now on: metrics ports by pod name."""
        groups = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"pod": pod, "namespace": NAMESPACE}}
            for pod, port in ports.items()
        ]
        part = self.targets.with_suffix(".part")
        part.write_text(json.dumps(groups))
        part.replace(self.targets)

    def ask(self, query: str) -> float:
        """The sum over what a query answers; NaN for an empty answer."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=_SECONDS, trust_env=False)
        found = answer.raise_for_status().json()["data"]["result"]
        return sum(float(each["value"][1]) for each in found) if found else float("nan")


@contextmanager
def prometheus(folder: Path, rendered: Rendered, interval: float, windows: float) -> Iterator[Prometheus]:
    """Run one that scrapes every ``interval`` seconds; the rules' windows are divided by ``windows``.

    Raises ``PrometheusMissing``.
    """
    fetch()
    folder.mkdir(parents=True, exist_ok=True)
    config, rules, targets = (folder / name for name in ("prometheus.yml", "rules.yml", "targets.json"))
    rules.write_text(yaml.safe_dump({"groups": [_recording(rendered, windows)]}))
    targets.write_text("[]")
    pace = f"{round(interval * 1000)}ms"
    scraped = {"job_name": "pods", "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}]}
    settings = {
        "global": {"scrape_interval": pace, "scrape_timeout": pace, "evaluation_interval": pace},
        "rule_files": [str(rules)],
        "scrape_configs": [scraped],
    }
    config.write_text(yaml.safe_dump(settings))
    port = free_port()
    command = [str(SERVER), f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        _await_ready(f"http://127.0.0.1:{port}", folder)
        yield Prometheus(f"http://127.0.0.1:{port}", targets)
    finally:
        server.terminate()
        server.wait(20)


def fetch() -> None:
    """Make sure that there is a Prometheus under build/."""
    if not SERVER.exists():
        subprocess.run([ROOT / "tools" / "install" / "prometheus.sh"], check=False)
    if not SERVER.exists():
        message = "no Prometheus: tools/install/prometheus.sh fetches Debian's, or put yours at build/prometheus/"
        raise PrometheusMissing(message)


def compressed(query: str, factor: float) -> str:
    """A query whose windows are so many times shorter."""
    for seconds, words in ((300, "[5m]"), (3600, "[1h]")):
        query = query.replace(words, f"[{round(seconds / factor)}s]")
    return query


def _recording(rendered: Rendered, windows: float) -> dict[str, object]:
    """The group of recording rules, from the PrometheusRule."""
    rules = next(each for each in rendered.objects if each["kind"] == "PrometheusRule")["spec"]["groups"]
    group = next(each for each in rules if each["name"] == "articula.signals")
    shorter = [{**rule, "expr": compressed(rule["expr"], windows)} for rule in group["rules"]]
    return {"name": group["name"], "rules": shorter}


def _await_ready(url: str, folder: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/-/ready", timeout=_SECONDS, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    message = f"Prometheus did not start; see {folder}/prometheus.log"
    raise PrometheusMissing(message)
