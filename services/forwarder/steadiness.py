"""Since when something has been as it is now, on our own monotonic clock.

Orthanc's idea of a stable study is lost at a restart and wrong after a step of the wall clock, so nothing here asks for
it. All of this is in memory: after a restart the waiting begins anew, which costs seconds and loses nothing.
"""

from collections.abc import Collection


class Steadiness:
    """Remembers, for each study, a value and when it was first seen."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[str, float]] = {}

    def seconds(self, study_id: str, value: str, now: float) -> float:
        """For how long the study has had this value, 0 when it is new. ``now`` is monotonic, in seconds."""
        seen, since = self._since.get(study_id, ("", now))
        if seen != value:
            since = now
        self._since[study_id] = (value, since)
        return now - since

    def since(self, study_id: str) -> float:
        """When the study got its present value, on the monotonic clock; the study must have been seen."""
        return self._since[study_id][1]

    def keep_only(self, study_ids: Collection[str]) -> None:
        """Forget all other studies."""
        self._since = {key: value for key, value in self._since.items() if key in study_ids}
