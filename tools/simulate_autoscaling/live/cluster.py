"""A Deployment of Tritons and what stands around it: endpoints, scrape targets, and the pods that leave."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from tools.simulate_autoscaling.chart import NAMESPACE, RELEASE, Rendered
from tools.simulate_autoscaling.live.load import Endpoints
from tools.simulate_autoscaling.live.pod import TritonPod
from tools.simulate_autoscaling.live.prometheus import Prometheus

__all__ = ["NAMESPACE", "Cluster"]


@dataclass
class Cluster:
    """Pods of one component, by age; callers hear of changes ``dns_seconds`` late."""

    rendered: Rendered
    component: str
    models: Path
    logs: Path
    dns_seconds: float
    endpoints: Endpoints
    pods: list[TritonPod] = field(default_factory=list)
    _told: list[tuple[float, str]] = field(default_factory=list)

    @property
    def present(self) -> list[TritonPod]:
        """Pods that the Deployment counts: those that start or serve."""
        return [pod for pod in self.pods if pod.phase in {"starting", "ready"}]

    @property
    def ready(self) -> list[TritonPod]:
        """Pods that serve."""
        return [pod for pod in self.pods if pod.phase == "ready"]

    def resize(self, size: int) -> None:
        """Start pods, or let the youngest leave, those first that do not serve yet."""
        leaving = self.rendered.leaving(self.component)
        for _ in range(size - len(self.present)):
            name = f"{RELEASE}-{self.component}-{len(self.pods)}"
            self.pods.append(TritonPod(name, self.rendered, self.component, self.models, self.logs))
            self.pods[-1].start()
        surplus = max(len(self.present) - size, 0)
        youngest = list(reversed(self.present))
        for pod in sorted(youngest, key=lambda pod: pod.phase == "ready")[:surplus]:
            pod.leave(leaving)

    def tell(self, prometheus: Prometheus, callers_port: int) -> None:
        """Let Prometheus and, after a while, the callers know who is there."""
        ports = {pod.name: pod.metrics_port for pod in self.pods if pod.phase in {"ready", "leaving"}}
        prometheus.scrape({**ports, f"{RELEASE}-preprocessing-0": callers_port})
        now, name = time.monotonic(), f"ipv4:{','.join(pod.target for pod in self.ready)}"
        if self.ready and (not self._told or self._told[-1][1] != name):
            self._told.append((now, name))
        heard = [name for when, name in self._told if now - when >= self.dns_seconds]
        if heard:
            self.endpoints.name = heard[-1]

    def close(self) -> None:
        """End all processes."""
        for pod in self.pods:
            if pod.phase != "gone":
                pod.stop()
        for pod in self.pods:
            pod.wait(30)
