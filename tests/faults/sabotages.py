"""Safeguards of our services, each with a way to break it: functions that change the running program in place."""

import asyncio
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

from services.forwarder import __main__ as forwarder
from services.forwarder import dispatch, inputs, lease, ledger, look, store
from services.forwarder.archive import Archive
from services.preprocessing import pipeline, spool, worker
from services.results import identity


def _replace(owner: object, name: str, broken: object) -> None:
    """A safeguard that has moved must be found again: setting a name that nobody reads would break nothing."""
    getattr(owner, name)
    setattr(owner, name, broken)


def _no_sweep() -> None:
    """Every version of a study is looked at once, as if its event were the only chance."""
    seen: set[tuple[str, str]] = set()
    studies = Archive.studies

    async def once(self):
        fresh = [each for each in await studies(self) if (each.study_id, each.version) not in seen]
        seen.update((each.study_id, each.version) for each in fresh)
        return fresh

    _replace(Archive, "studies", once)


def _manifest_first() -> None:
    """The commit is stored before what it commits, and slowly."""
    original = Archive.store

    async def slow(self, *arguments, **options):
        await original(self, *arguments, **options)
        await asyncio.sleep(0.4)

    _replace(Archive, "store", slow)
    order = store.store_result_set

    async def reverse(archive, results, study_id, *, unchanged):
        return await order(
            archive, replace(results, objects=tuple(reversed(results.objects))), study_id, unchanged=unchanged
        )

    _replace(dispatch, "store_result_set", reverse)


def _clock_in_uids() -> None:
    """UIDs of all objects but the manifest depend on the time."""
    original = identity.result_uid

    def of_this_moment(digest, kind, index=0):
        return original(digest, kind if kind.startswith("manifest") else f"{kind}{time.time_ns()}", index)

    _replace(identity, "result_uid", of_this_moment)


def _attempts_unwritten() -> None:
    """An attempt leaves no trace before it begins."""
    _replace(ledger.Ledger, "begin", lambda *_: 1)


def _no_quiet_time() -> None:
    """A study is sent as soon as it is seen."""
    _replace(look.Look, "_waited", lambda *_: True)


def _no_fence() -> None:
    """Every forwarder takes itself for the leader, and asks nobody before it changes something."""

    async def leads(_):
        return True

    async def confirm(_):
        return None

    _replace(lease.Lease, "leads", leads)
    _replace(lease.Lease, "confirm", confirm)


def _trouble_counts() -> None:
    """Trouble of the service counts against the study."""
    _replace(ledger.Ledger, "forgive", lambda *_: None)


def _no_retry() -> None:
    """The first trouble is the last word."""

    async def refuse(self, work, error, attempts):
        del error
        await self._refuse(work, dispatch.StudyRefused(dispatch.RefusalCode.UNREADABLE_DICOM), attempts)

    _replace(dispatch.Dispatcher, "_retry_later", refuse)


def _stale_digest() -> None:
    """What a study held when it was first seen is what it holds for ever."""
    original = inputs.Inputs.digest
    known: dict[str, str] = {}

    async def first(self, study_id, eligible, description):
        if study_id not in known:
            known[study_id] = await original(self, study_id, eligible, description)
        return known[study_id]

    _replace(inputs.Inputs, "digest", first)


def _spool_kept() -> None:
    """Studies stay in the spool."""
    _replace(spool, "shutil", SimpleNamespace(rmtree=lambda *_, **__: None))
    _replace(spool.Spool, "__init__", _only_open)


def _only_open(self, folder):
    self._folder, self._places = folder, set()
    folder.mkdir(parents=True, exist_ok=True)


def _names_in_logs() -> None:
    """The worker talks about the patient."""
    original = pipeline.judge

    def talk(instances):
        print(instances[0].PatientName, flush=True)  # noqa: T201
        return original(instances)

    _replace(pipeline, "judge", talk)


def _wrong_patient() -> None:
    """Results carry the identity of the first patient seen."""
    original = identity.sign
    first = []

    def sign(dataset, source, **options):
        first.append(source)
        return original(dataset, first[0], **options)

    for module in list(sys.modules.values()):
        if getattr(module, "sign", None) is original:
            module.sign = sign


def _orphaned_forwarder() -> None:
    """The forwarder outlives Orthanc."""

    async def forever(_):
        await asyncio.Event().wait()

    _replace(forwarder, "_lifeline", forever)


def _object_dropped() -> None:
    """One object of every set is not stored."""
    original = Archive.store
    count = itertools.count()

    async def most(self, *arguments, **options):
        if next(count) % 4 != 1:
            await original(self, *arguments, **options)

    _replace(Archive, "store", most)


def _worker_not_replaced() -> None:
    """A dead worker is never started again."""
    _replace(worker.WorkerPool, "_fill", lambda _: None)


SABOTAGES: dict[str, Callable[[], None]] = {
    function.__name__.strip("_").replace("_", " "): function
    for function in (
        _no_sweep,
        _manifest_first,
        _clock_in_uids,
        _attempts_unwritten,
        _no_quiet_time,
        _no_fence,
        _trouble_counts,
        _no_retry,
        _stale_digest,
        _spool_kept,
        _names_in_logs,
        _wrong_patient,
        _orphaned_forwarder,
        _object_dropped,
        _worker_not_replaced,
    )
}
