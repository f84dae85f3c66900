"""The few things the check asks of a cluster, through the ``kubernetes`` client.

Pods of the chart are found by Kubernetes' recommended labels: ``app.kubernetes.io/instance`` is the release,
``app.kubernetes.io/component`` one of orthanc, preprocessing, triton.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

_POLL_SECONDS = 2.0
_NOT_FOUND, _TOO_MANY = 404, 429
_CONNECT = (
    "import socket,sys\n"
    "for target in sys.argv[1:]:\n"
    "    host, port = target.rsplit(':', 1)\n"
    "    try:\n"
    "        socket.create_connection((host, int(port)), 5).close()\n"
    "        print('open', target)\n"
    "    except OSError as error:\n"
    "        print('closed', target, error)\n"
)


class CheckFailed(Exception):
    """A step did not come out as it must; the text says what was seen."""


@dataclass(frozen=True)
class Cluster:
    """One namespace of a cluster and one release in it."""

    api: client.ApiClient
    namespace: str
    release: str

    @property
    def _core(self) -> Any:
        return client.CoreV1Api(self.api)

    def pods(self, component: str) -> list[Any]:
        """The pods of a component that are not on their way out."""
        labels = f"app.kubernetes.io/instance={self.release},app.kubernetes.io/component={component}"
        found = self._core.list_namespaced_pod(self.namespace, label_selector=labels).items
        return [pod for pod in found if pod.metadata.deletion_timestamp is None]

    def service(self, component: str) -> Any:
        """The Service of a component; raises ``CheckFailed`` where there is none."""
        labels = f"app.kubernetes.io/instance={self.release},app.kubernetes.io/component={component}"
        found = self._core.list_namespaced_service(self.namespace, label_selector=labels).items
        if not found:
            message = f"no Service has the labels {labels}"
            raise CheckFailed(message)
        return found[0]

    def wait_ready(self, component: str, *, seconds: float) -> int:
        """Wait until a component has pods and all are ready; their number. Raises ``CheckFailed``."""
        pods: list[Any] = []

        def all_ready() -> bool:
            pods[:] = self.pods(component)
            return bool(pods) and all(map(is_ready, pods))

        if not until(all_ready, seconds):
            states = ", ".join(f"{pod.metadata.name} {pod.status.phase}" for pod in pods) or "no pods"
            message = f"{component} is not ready after {seconds:.0f} s: {states}"
            raise CheckFailed(message)
        return len(pods)

    def evict_one(self, component: str, *, seconds: float) -> str:
        """Evict a ready pod as a node's drain does, and wait until it is gone; its name.

        A disruption budget may say no for a while; raises ``CheckFailed`` where it does so for all of the time.
        """
        pod = next(filter(is_ready, self.pods(component)), None)
        if pod is None:
            message = f"no pod of {component} is ready"
            raise CheckFailed(message)
        name = pod.metadata.name
        eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace=self.namespace))

        def accepted() -> bool:
            try:
                self._core.create_namespaced_pod_eviction(name, self.namespace, eviction)
            except ApiException as error:
                if error.status == _TOO_MANY:
                    return False
                raise
            return True

        if not until(accepted, seconds) or not until(lambda: self._gone(name), seconds):
            message = f"{name} could not be evicted within {seconds:.0f} s"
            raise CheckFailed(message)
        return str(name)

    def _gone(self, name: str) -> bool:
        try:
            self._core.read_namespaced_pod(name, self.namespace)
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return True
            raise
        return False

    def reachable_from_a_stranger(self, targets: list[str], image: str, *, seconds: float) -> list[str]:
        """Those of ``host:port`` to which a pod without any of the chart's labels can connect.

        ``image`` must have Python; the pod is removed. Raises ``CheckFailed`` where the pod does not run.
        """
        name = f"{self.release}-stranger"
        self._core.create_namespaced_pod(self.namespace, stranger(name, image, targets))
        try:
            phase = ""

            def ended() -> bool:
                nonlocal phase
                phase = self._core.read_namespaced_pod(name, self.namespace).status.phase
                return phase in {"Succeeded", "Failed"}

            if not until(ended, seconds) or phase == "Failed":
                message = f"the stranger's pod did not run to its end: {phase}"
                raise CheckFailed(message)
            log: str = self._core.read_namespaced_pod_log(name, self.namespace)
        finally:
            self._core.delete_namespaced_pod(name, self.namespace)
        return [line.split()[1] for line in log.splitlines() if line.startswith("open ")]


def is_ready(pod: Any) -> bool:
    """Whether the kubelet says so."""
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions or ())


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(min(_POLL_SECONDS, seconds / 10))
    return True


def stranger(name: str, image: str, targets: list[str]) -> dict[str, Any]:
    """A pod that fits restricted Pod Security and only tries to connect."""
    confined = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "stranger",
        "image": image,
        "command": ["/opt/articula/venv/bin/python", "-c", _CONNECT, *targets],
        "securityContext": confined,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"}},
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
