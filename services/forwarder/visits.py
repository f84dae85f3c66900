"""Whose turn it is in a sweep: what is on its way always, everything else as time allows.

A large archive holds a hundred thousand studies, of which a few dozen are on their way. Nothing that is remembered is
trusted for ever, and after a restart nothing is remembered. To look at every old study again takes an hour, and to
analyse those from before the installation takes weeks; no new one waits for it.
"""

from collections.abc import Callable, Collection, Sequence

from services.forwarder.eligibility import StoredStudy


class Visits:
    """Remembers which studies were looked at, and at which version nothing was left to do. May be lost at any time."""

    def __init__(self, *, audit_seconds: float) -> None:
        self._audit_seconds = audit_seconds
        self._met: dict[str, float] = {}  # study -> when it was looked at (monotonic)
        self._settled: dict[str, str] = {}  # study -> version at which nothing was left to do

    def order(
        self, studies: Sequence[StoredStudy], now: float, *, is_backfill: Callable[[str], bool]
    ) -> tuple[list[StoredStudy], list[StoredStudy]]:
        """Studies on their way, and those to look at as time allows.

        These are the ones that were not looked at yet, the newest first; settled ones that were not looked at for as
        long as an audit takes, because the archive does not tell of deletions; and backfill.
        """
        on_their_way: list[StoredStudy] = []
        unmet: list[StoredStudy] = []
        due: list[StoredStudy] = []
        backfill: list[StoredStudy] = []
        for study in studies:
            looked = self._met.get(study.study_id)
            if looked is None:
                unmet.append(study)
            elif self._settled.get(study.study_id) == study.version:
                due += [study] if now - looked > self._audit_seconds else []
            elif is_backfill(study.study_id):
                backfill.append(study)
            else:
                on_their_way.append(study)
        unmet.sort(key=lambda study: study.version, reverse=True)
        for each in (due, backfill):
            each.sort(key=lambda study: self._met[study.study_id])
        return on_their_way, [*unmet, *due, *backfill]

    def made(self, study: StoredStudy, now: float, *, settled: bool) -> None:
        """This study was looked at; whether nothing is left to do at this version."""
        self._met[study.study_id] = now
        self.unsettle(study.study_id)
        if settled:
            self._settled[study.study_id] = study.version

    def unsettle(self, study_id: str) -> None:
        """Something is to be done with it after all."""
        self._settled.pop(study_id, None)

    def keep_only(self, study_ids: Collection[str]) -> None:
        """Forget all other studies."""
        self._met = {key: value for key, value in self._met.items() if key in study_ids}
        self._settled = {key: value for key, value in self._settled.items() if key in study_ids}
