"""How many retries there may be: a share of what succeeds, and a trickle that lets a sick service show it is well.

Pauses that grow keep one study from knocking too often. This keeps all of them together from it: when a service that
was down comes back, hundreds of studies that failed meanwhile do not meet it in the same minute.
"""

import time

_CAPACITY = 20.0
_PER_SUCCESS = 0.1
_PER_SECOND = 1 / 3


class RetryBudget:
    """A bucket of tokens; a retry costs one. Asks the monotonic clock."""

    def __init__(self) -> None:
        self._tokens = _CAPACITY
        self._filled_at = time.monotonic()

    def succeeded(self) -> None:
        """A study was done: a tenth of a retry more."""
        self._tokens = min(self._tokens + _PER_SUCCESS, _CAPACITY)

    def spend(self) -> bool:
        """Take a token; False where there is none, and the retry should wait as long as it may."""
        now = time.monotonic()
        self._tokens = min(self._tokens + (now - self._filled_at) * _PER_SECOND, _CAPACITY)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
