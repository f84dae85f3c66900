"""Hangs are impossible by construction: every wait in the services has a deadline, every endless loop a watcher.

The code itself is read. A new wait without a deadline fails here until it gets one, or until what ends it is written
down below.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[1] / "services"

# a wait without a deadline of its own, and what ends it
ENDED_BY = {
    "common/server.py until_stopped: await stopped.wait()": "a signal; until then the service serves",
    "common/turns.py take: future.result()": "the future is done",
    "common/turns.py take: await future": "the deadline of the call or the cancelling of the work that waits",
    "forwarder/__main__.py _lifeline: await lines.readline()": "the end of Orthanc closes the pipe",
    "forwarder/__main__.py _run: await asyncio.wait(tasks)": "a signal; the watchdog hears each loop",
    "forwarder/__main__.py _run: task.result()": "the task is done",
    "forwarder/dispatch.py stop: await asyncio.gather(*tasks)": "the tasks were cancelled",
    "forwarder/inputs.py _content: await asyncio.gather(*)": "each call to Orthanc has a deadline",
    "forwarder/inputs.py _hash: async with self._hashing": "whoever holds a place asks Orthanc with a deadline",
    "forwarder/stream.py analyze: async for call": "the call has a deadline",
    "forwarder/stream.py requests: await self.accepted.wait()": "the call has a deadline",
    "orthanc_plugin/supervision.py _run_once: with self._spawning": "whoever holds it starts a process, nothing else",
    "orthanc_plugin/supervision.py stop: with self._spawning": "whoever holds it starts a process, nothing else",
    "preprocessing/inference.py segment: threads.map()": "each request to Triton has a deadline",
    "preprocessing/servicer.py Analyze: async for responses": "the call's deadline, which the client must set",
    "preprocessing/servicer.py _analyze: async for self._work(job)": "the worker's deadline",
    "preprocessing/servicer.py _analyze: async for requests": "the call's deadline, which the client must set",
    "preprocessing/servicer.py _discard: async for requests": "the caller waits for it with a timeout",
    "preprocessing/servicer.py _header: async for requests": "the call's deadline, which the client must set",
    "preprocessing/servicer.py _work: await running": "the worker's deadline",
    "preprocessing/servicer.py _work: await updates.get()": "the end of the running task puts the last update",
    "preprocessing/worker.py kill: self._process.join()": "the process was killed",
    "preprocessing/worker.py run: self._connection.recv()": "poll() said that something is there",
    "preprocessing/worker.py serve_jobs: connection.recv()": "the end of the parent closes the pipe",
    "viewer/view.py _tags: await asyncio.gather(*)": "each call to Orthanc has a deadline",
}
# an endless loop, and who notices when it hangs
WATCHED_BY = {
    "common/codestream.py _require_all_tile_parts": "each turn consumes bytes; the worker has a deadline",
    "common/part10.py _open_sequence": "each turn consumes bytes; the worker has a deadline",
    "common/watchdog.py keep_event_loop": "the watchdog's thread",
    "forwarder/sweep.py run": "the watchdog hears it at each study",
    "orthanc_plugin/supervision.py _outcome": "each wait has a timeout",
    "preprocessing/worker.py serve_jobs": "the parent gives each job a deadline and kills the process",
}
_WAITS_WITHOUT_ARGUMENTS = {"wait", "get", "join", "acquire", "result", "communicate", "recv", "accept", "readline"}
_NEEDS_TIMEOUT = {
    "run": ("subprocess",),
    "urlopen": ("request",),
    "AsyncClient": ("httpx",),
    "Client": ("httpx",),
    "infer": ("_client",),
    "is_model_ready": ("_client",),
    "get_model_config": ("_client",),
    "Describe": ("stub", "_stub"),
    "Analyze": ("stub", "_stub"),
}
_LOCKS = {"_spawning", "_hashing", "_places", "lock"}
_LAZY = {"map"}


class _Waits(ast.NodeVisitor):
    """Collects waits without a deadline as "function: expression"."""

    def __init__(self) -> None:
        self.function = "module"
        self.found: list[str] = []
        self.loops: list[str] = []

    def _enter(self, node) -> None:
        before, self.function = self.function, node.name
        self.generic_visit(node)
        self.function = before

    visit_FunctionDef = visit_AsyncFunctionDef = _enter  # noqa: N815 - names that ast looks for

    def visit_While(self, node: ast.While) -> None:
        if isinstance(node.test, ast.Constant) and node.test.value:
            self.loops.append(self.function)
        self.generic_visit(node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self._add(f"async for {ast.unparse(node.iter)}")
        self.generic_visit(node)

    def _with(self, node, word: str) -> None:
        for item in node.items:
            if isinstance(item.context_expr, ast.Attribute) and item.context_expr.attr in _LOCKS:
                self._add(f"{word} {ast.unparse(item.context_expr)}")
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        self._with(node, "with")

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        self._with(node, "async with")

    def visit_Await(self, node: ast.Await) -> None:
        if isinstance(node.value, ast.Name):
            self._add(f"await {node.value.id}")
        elif isinstance(node.value, ast.Call) and self._unbounded(node.value):
            self._add(f"await {self._words(node.value)}")
            for child in ast.iter_child_nodes(node.value):
                self.visit(child)
            return
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if self._is_bounded_by_its_caller(node):
            return
        if self._unbounded(node):
            self._add(self._words(node))
        self.generic_visit(node)

    @staticmethod
    def _is_bounded_by_its_caller(node: ast.Call) -> bool:
        return ast.unparse(node.func) == "asyncio.wait_for" and len(node.args) + len(node.keywords) > 1

    @staticmethod
    def _unbounded(node: ast.Call) -> bool:
        if not isinstance(node.func, ast.Attribute):
            return False
        name, owner = node.func.attr, ast.unparse(node.func.value).rpartition(".")[2]
        keywords = {each.arg or "" for each in node.keywords}
        timed = any("timeout" in each for each in keywords)
        if owner == "asyncio" and name in {"wait", "gather"}:
            return not timed
        if name in _NEEDS_TIMEOUT and owner in _NEEDS_TIMEOUT[name]:
            return not timed
        if name in _LAZY and owner == "threads":
            return not timed
        return name in _WAITS_WITHOUT_ARGUMENTS and not node.args and not keywords

    @staticmethod
    def _words(node: ast.Call) -> str:
        shown = ", ".join(ast.unparse(each) for each in node.args if isinstance(each, ast.Name | ast.Starred))
        generators = any(isinstance(each, ast.Starred) and not isinstance(each.value, ast.Name) for each in node.args)
        if node.func.attr == "map":
            shown = ""
        return f"{ast.unparse(node.func)}({'*' if generators else shown})"

    def _add(self, words: str) -> None:
        self.found.append(f"{self.function}: {words}")


def read(source: str) -> _Waits:
    waits = _Waits()
    waits.visit(ast.parse(source))
    return waits


def modules() -> Iterator[tuple[str, _Waits]]:
    for path in sorted(SERVICES.rglob("*.py")):
        if "pb" not in path.parts:
            yield str(path.relative_to(SERVICES)), read(path.read_text())


def test_every_wait_has_a_deadline_or_something_that_ends_it():
    """Queues, locks, tasks, pipes, processes, HTTP and gRPC."""
    found = {f"{name} {each}" for name, waits in modules() for each in waits.found}
    assert found - set(ENDED_BY) == set(), "waits without a deadline"
    assert set(ENDED_BY) - found == set(), "explained, but not there any more"


def test_every_endless_loop_is_watched():
    """A loop that hangs is noticed by something that is not the loop."""
    found = {f"{name} {each}" for name, waits in modules() for each in waits.loops}
    assert found == set(WATCHED_BY)


@pytest.mark.parametrize(
    "line",
    [
        "queue.get()",
        "thread.join()",
        "await event.wait()",
        "process.communicate()",
        "lock.acquire()",
        "await task",
        "await asyncio.wait(tasks)",
        "subprocess.run(['x'])",
        "httpx.AsyncClient(base_url=u)",
        "stub.Analyze(messages)",
        "self._client.infer(name, inputs)",
        "with self._spawning:\n        pass",
        "async for each in stream:\n        pass",
    ],
)
def test_a_wait_without_a_deadline_is_seen(line):
    """The reader of the code can fail."""
    assert len(read(f"async def f():\n    {line}").found) == 1


@pytest.mark.parametrize(
    "line",
    [
        "queue.get(timeout=1)",
        "thread.join(5)",
        "await asyncio.wait_for(event.wait(), 3)",
        "subprocess.run(['x'], timeout=3)",
        "settings.get('key')",
        "', '.join(words)",
        "stub.Analyze(messages, timeout=3)",
        "await asyncio.wait(tasks, timeout=1)",
    ],
)
def test_a_wait_with_a_deadline_is_fine(line):
    """And it can pass."""
    assert read(f"async def f():\n    {line}").found == []
