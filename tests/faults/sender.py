"""The scanners: they send until the archive has acknowledged every instance, and remember what they were told."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from tests.faults.deliveries import SLICES, Delivery, SentStudy, make_study
from tools.stack.state import StackState

_AGAIN_SECONDS = 0.1
_IDLE = httpx.Limits(keepalive_expiry=0.5)  # Orthanc ends a connection that was idle for a second


@dataclass
class SenderLog:
    """What the senders were told, on the monotonic clock."""

    started: dict[int, float] = field(default_factory=dict)
    acknowledged: dict[int, float] = field(default_factory=dict)  # every instance, at this time
    refusals: list[tuple[float, str]] = field(default_factory=list)  # what the archive did not do, and why
    seconds: list[float] = field(default_factory=list)  # of every instance that was taken


class Pace:
    """How many studies may be sent so far: the load lasts as long as the faults do."""

    def __init__(self, allowed: int = 0) -> None:
        self._allowed = allowed
        self._changed = threading.Condition()

    def allow(self, count: int) -> None:
        """Studies with lower numbers may go."""
        with self._changed:
            self._allowed = max(self._allowed, count)
            self._changed.notify_all()

    def wait_for(self, number: int, seconds: float) -> None:
        """Until this study may go, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: number < self._allowed, max(seconds, 0.0))


class Sender:
    """One scanner with its connection to the archive; ``on_instance`` is called around each instance."""

    def __init__(
        self, state: StackState, log: SenderLog, *, deadline: float, pause_seconds: float | None = None
    ) -> None:
        auth = (state.user, state.password)
        self._http = httpx.Client(base_url=state.orthanc_url, auth=auth, timeout=10, limits=_IDLE, trust_env=False)
        self._log = log
        self._deadline = deadline
        self._pause_seconds = pause_seconds  # before the second half of a delivery; a seeded one unless given
        self.on_instance: Callable[[str], None] = lambda _moment: None

    def send_all(self, seed: int, numbers: Iterator[int], pace: Pace) -> None:
        """Send studies one after the other; ends with the numbers."""
        with self._http:
            for number in numbers:
                pace.wait_for(number, self._deadline - time.monotonic())
                self.send(make_study(seed, number))

    def send(self, study: SentStudy) -> None:
        """Send one study as its delivery wants it."""
        self._log.started[study.number] = time.monotonic()
        late = study.delivery is Delivery.LATE
        last = len(study.files) - SLICES if late else len(study.files)
        self._deliver_all(study.files[:last])
        if late:
            self._pause(study)
            self._deliver_all(study.files[last:])
        if study.delivery is Delivery.RESENT:
            self._pause(study)
        if study.delivery in {Delivery.DOUBLED, Delivery.RESENT}:
            self._deliver_all(study.files)
        if study.delivery is Delivery.DELETED:
            self._pause(study)
            self._until_done(lambda: self._http.delete(f"/studies/{study.orthanc_id}").status_code in {200, 404})
        self._log.acknowledged[study.number] = time.monotonic()

    def _pause(self, study: SentStudy) -> None:
        seeded = random.Random(study.number).uniform(0.5, 4.0)
        time.sleep(seeded if self._pause_seconds is None else self._pause_seconds)

    def _deliver_all(self, files: tuple[bytes, ...]) -> None:
        for data in files:
            self.on_instance("before")
            self._until_done(lambda data=data: self._took(data))
            self.on_instance("after")

    def _took(self, data: bytes) -> bool:
        started = time.monotonic()
        answer = self._http.post("/instances", content=data).json()
        self._log.seconds.append(time.monotonic() - started)
        return answer.get("Status") in {"Success", "AlreadyStored"}

    def _until_done(self, step: Callable[[], bool]) -> None:
        """One step, again and again until the archive says it is done."""
        while time.monotonic() < self._deadline:
            reason = "refused"
            try:
                if step():
                    return
            except (httpx.HTTPError, ValueError, AttributeError) as error:
                reason = type(error).__name__
            self._log.refusals.append((time.monotonic(), reason))
            time.sleep(_AGAIN_SECONDS)
        message = "the archive took no instance until the deadline"
        raise TimeoutError(message)
