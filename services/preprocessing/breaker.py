"""A circuit breaker before a sick Triton: after a few failures in a row nobody is let in for a while, then one.

Without it every study is sent, spooled, decoded and only then refused, so a Triton that is down costs the hospital's
network and this service's CPU as much as one that works. While it is open the caller keeps its studies and hears when
to come back. One study then tries; if that works, all may come.
"""

import time

from services.common.errors import ServiceUnavailable
from services.preprocessing import metrics

FAILURES_IN_A_ROW = 5
OPEN_SECONDS = 10.0


class Breaker:
    """Hears how studies fared with Triton. Used from one event loop only; asks the monotonic clock."""

    def __init__(self, *, failures: int = FAILURES_IN_A_ROW, seconds: float = OPEN_SECONDS) -> None:
        self._limit = failures
        self._seconds = seconds
        self._failures = 0
        self._closed_again = 0.0

    def require_closed(self) -> None:
        """Raises ``ServiceUnavailable`` while it is open; when its time is over, the first who asks may try."""
        if self._failures < self._limit:
            return
        remaining = self._closed_again - time.monotonic()
        if remaining > 0:
            message = f"Triton failed {self._failures} times in a row; nothing is sent to it for {remaining:.0f} s"
            raise ServiceUnavailable(message, retry_after_seconds=remaining)
        self._closed_again = time.monotonic() + self._seconds  # until this one has come back, the others wait

    def failed(self) -> None:
        """Triton did not answer a study."""
        self._failures += 1
        if self._failures >= self._limit:
            self._closed_again = time.monotonic() + self._seconds
            metrics.BREAKER_OPEN.set(1)

    def worked(self) -> None:
        """Triton answered."""
        self._failures = 0
        metrics.BREAKER_OPEN.set(0)
