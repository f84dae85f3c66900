"""A Kubernetes API server for tests: a few resources in memory, over real HTTP."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlparse


def pod(name: str, component: str, *, ready: bool = True) -> dict[str, Any]:
    """A pod of the release "articula"."""
    labels = {"app.kubernetes.io/instance": "articula", "app.kubernetes.io/component": component}
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": {"name": name, "labels": labels}, "status": {"phase": "Running", "conditions": conditions}}


@dataclass
class FakeCluster:
    """``refusals`` counts evictions that a disruption budget still refuses; ``log`` is every pod's log."""

    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    refusals: int = 0
    log: str = ""
    created: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        """Status and body of one request."""
        kind, *rest = path.split("/")[5:]
        if kind == "services":
            return 200, {"items": _selected(self.services, query)}
        if not rest and method == "GET":
            return 200, {"items": _selected(self.pods, query)}
        if not rest:
            self.created.append(body)
            self.pods[body["metadata"]["name"]] = {**body, "status": {"phase": "Succeeded"}}
            return 201, body
        return self._one(method, *rest)

    def _one(self, method: str, name: str, what: str = "") -> tuple[int, Any]:
        if name not in self.pods:
            return 404, {"kind": "Status", "code": 404}
        if what == "log":
            return 200, self.log
        if what == "eviction" and self.refusals:
            self.refusals -= 1
            return 429, {"kind": "Status", "code": 429}
        return 200, self.pods.pop(name) if what == "eviction" or method == "DELETE" else self.pods[name]


def _selected(objects: dict[str, dict[str, Any]], query: dict[str, list[str]]) -> list[dict[str, Any]]:
    wanted = dict(term.split("=") for term in query.get("labelSelector", [""])[0].split(",") if term)
    return [each for each in objects.values() if wanted.items() <= each["metadata"]["labels"].items()]


@contextmanager
def kube_api(cluster: FakeCluster) -> Iterator[str]:
    """Serve it; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            url = urlparse(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(content) if content else None
            status, answer = cluster.answer(self.command, url.path, parse_qs(url.query), body)
            data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - the names http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
