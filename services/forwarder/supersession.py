"""One visible result set a study: when a new one is committed, what it replaces goes.

A late series or a new pipeline makes another digest and so another set. Two sets side by side would leave the
radiologist to guess which one counts. The old manifest goes first, so a set that is half removed does not count; what a
crash leaves behind is found by the next look at the study, since only the current manifest's objects may stay. People's
opinions on a report stay, whatever becomes of the report.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog

from services.common.uids import result_uid
from services.forwarder.archive import Archive, NotStored
from services.forwarder.eligibility import StoredInstance
from services.viewer.document import Item, references

log = structlog.get_logger()

_KEY_OBJECT = "1.2.840.10008.5.1.4.1.1.88.59"
_COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
_OPINIONS = "FEEDBACK"  # title of a document of opinions


async def remove_superseded(archive: Archive, ours: Sequence[StoredInstance], digest: str) -> int:
    """Delete all of our objects in a study that the committed set of ``digest`` does not hold; how many.

    Raises ``ServiceUnavailable``; nothing is deleted where the set's manifest is not there.
    """
    manifest = next((each for each in ours if each.sop_instance_uid == result_uid(digest, "manifest")), None)
    if manifest is None or len(ours) == 1:
        return 0
    try:
        kept = {manifest.sop_instance_uid, *members(await _tags(archive, manifest))}
        strangers = [each for each in ours if each.sop_instance_uid not in kept]
        gone = [each for each in strangers if not await _is_opinion(archive, each)]
    except NotStored:
        return 0  # it goes while we look; the next look sees what is left
    for each in sorted(gone, key=lambda one: one.sop_class_uid != _KEY_OBJECT):
        await archive.delete(each.instance_id)
    if gone:
        log.info("superseded results removed", objects=len(gone))
    return len(gone)


async def remove_litter(archive: Archive, ours: Sequence[StoredInstance]) -> None:
    """Delete our objects of a study that has no sources, unless a whole set is among them; opinions stay.

    A study that is deleted while its results are stored comes back as a shell of those that were stored afterwards.
    """
    present = {each.sop_instance_uid for each in ours}
    try:
        for manifest in (each for each in ours if each.sop_class_uid == _KEY_OBJECT):
            if members(await _tags(archive, manifest)) <= present:
                return
        gone = [each for each in ours if not await _is_opinion(archive, each)]
    except NotStored:
        return  # it goes while we look; the next look sees what is left
    for each in gone:
        await archive.delete(each.instance_id)
    if gone:
        log.info("litter of a deleted study removed", objects=len(gone))


def members(manifest: Mapping[str, Any]) -> set[str]:
    """SOP Instance UIDs of the set that a manifest commits; the manifest as Orthanc gives it in JSON."""
    return {
        each.sop_instance_uid
        for study in _items(manifest, "CurrentRequestedProcedureEvidenceSequence")
        for series in _items(study, "ReferencedSeriesSequence")
        for each in references(series)
    }


async def _is_opinion(archive: Archive, instance: StoredInstance) -> bool:
    if instance.sop_class_uid != _COMPREHENSIVE_3D_SR:
        return False
    return Item(await _tags(archive, instance)).name == _OPINIONS


async def _tags(archive: Archive, instance: StoredInstance) -> Any:
    return await archive.json(f"/instances/{instance.instance_id}/tags?simplify")


def _items(tags: Mapping[str, Any], keyword: str) -> Iterable[Mapping[str, Any]]:
    value = tags.get(keyword)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
