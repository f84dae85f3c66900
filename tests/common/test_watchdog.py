"""A loop that hangs ends its process."""

import subprocess
import sys
import time

from services.common.watchdog import EXIT_STATUS, Watchdog

BLOCKED = """
import asyncio, time
from services.common import watchdog
watchdog._LISTEN_SECONDS, watchdog._EVENT_LOOP_SECONDS = 0.1, 5.0
async def main():
    guard = watchdog.Watchdog()
    task = asyncio.create_task(guard.keep_event_loop())
    await asyncio.sleep(0)
    guard.guard()
    await asyncio.sleep(1)
    print("alive", flush=True)
    time.sleep(30)
asyncio.run(main())
"""


def test_a_loop_is_silent_when_it_breaks_its_promise_and_heard_again_when_it_beats():
    """Each loop has its own promise."""
    watchdog = Watchdog()
    beat = watchdog.expect("fast", seconds=0.05)
    watchdog.expect("slow", seconds=60)
    assert watchdog.silent() == []
    time.sleep(0.1)
    assert watchdog.silent() == ["fast"]
    beat()
    assert watchdog.silent() == []


def test_a_blocked_event_loop_ends_the_process_and_a_working_one_does_not():
    """The exit status is the supervisor's sign to start it again; the log names the loop."""
    started = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False, timeout=25)
    assert "alive" in ended.stdout
    assert ended.returncode == EXIT_STATUS
    assert "event loop" in ended.stdout + ended.stderr
    assert time.monotonic() - started < 20
