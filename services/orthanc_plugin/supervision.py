"""The forwarder as the plugin's child: started, fed with hints, started again when it dies, gone when Orthanc is gone.

Its standard input is both the channel for hints and its lifeline: a forwarder whose input closes stops, so even a
killed Orthanc leaves none behind. Nothing here blocks Orthanc: hints go through a bounded queue to a thread. Standard
library only.
"""

import contextlib
import logging
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

log = logging.getLogger("articula")

_HINTS_WAITING = 1000
_STOP_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_LISTEN_SECONDS = 5.0
_SILENCE_SECONDS = 60.0  # a child that gives no sign for so long hangs
_STEADY_SECONDS = 60.0  # a child that ran so long starts anew without a pause


class Forwarder:
    """One child process and two threads that keep it company."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        root: Path,
        environment: Mapping[str, str],
        pulse: Callable[[], bool] = lambda: True,
    ) -> None:
        self._command = list(command)
        self._pulse = pulse
        self._root = root
        self._environment = {**os.environ, "PYTHONPATH": str(root), **environment}
        self._hints: queue.Queue[str] = queue.Queue(_HINTS_WAITING)
        self._stopping = threading.Event()
        self._spawning = threading.Lock()  # a child is either seen by ``stop`` or never started
        self._child: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.error = ""  # why the last start failed

    @property
    def alive(self) -> bool:
        """Whether the child runs and answers."""
        return self._child is not None and self._child.poll() is None and self._pulse()

    def start(self) -> None:
        """Start the child and its company."""
        for body in (self._keep_alive, self._pass_on):
            threading.Thread(target=body, daemon=True, name=f"articula{body.__name__}").start()

    def hint(self, text: str) -> None:
        """Tell the forwarder that something happened; microseconds, and dropped when too many wait."""
        with contextlib.suppress(queue.Full):
            self._hints.put_nowait(text)

    def stop(self) -> None:
        """End the child within a few seconds."""
        with self._spawning:
            self._stopping.set()
            child = self._child
        if child is None:
            return
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # a disk that hangs keeps even a killed process
                child.wait(_STOP_SECONDS)

    def _keep_alive(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            ending = self._run_once()
            if self._stopping.is_set():
                return
            steady = time.monotonic() - started > _STEADY_SECONDS
            pause = _FIRST_PAUSE_SECONDS if steady else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            log.warning("forwarder %s, starts again in %.0f s", ending, pause)
            self._stopping.wait(pause)

    def _run_once(self) -> str:
        """Start the child and wait for its end; says what happened."""
        with self._spawning:
            if self._stopping.is_set():
                return "is not needed any more"
            try:
                self._child = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, cwd=self._root, env=self._environment, start_new_session=True
                )
            except OSError as error:  # a wrong interpreter in the configuration
                self.error = str(error)
                return f"can't be started ({error})"
        self.starts += 1
        self.error = ""
        return self._outcome(self._child)

    def _outcome(self, child: "subprocess.Popen[bytes]") -> str:
        """Wait for the child's end; one that runs and does not answer for long is ended."""
        answered = time.monotonic()
        while True:
            try:
                return f"ended with {child.wait(_LISTEN_SECONDS)}"
            except subprocess.TimeoutExpired:
                if self._pulse():
                    answered = time.monotonic()
                elif time.monotonic() - answered > _SILENCE_SECONDS:
                    child.kill()

    def _pass_on(self) -> None:
        while not self._stopping.is_set():
            try:
                hint = self._hints.get(timeout=_LISTEN_SECONDS)
            except queue.Empty:
                continue
            child = self._child
            if child is None or child.stdin is None:
                continue
            with contextlib.suppress(OSError, ValueError):  # it died; the next sweep needs no hint
                child.stdin.write(f"{hint}\n".encode())
                child.stdin.flush()
