"""Results into the archive, the manifest last: until it is there, the set does not count."""

from services.forwarder.archive import Archive
from services.forwarder.stream import ResultSet
from services.forwarder.work import Unchanged


async def store_result_set(archive: Archive, results: ResultSet, study_id: str, *, unchanged: Unchanged) -> bool:
    """Store every object of a complete set; False where the study is no longer what was analysed.

    ``unchanged`` is asked before the first object and again before the manifest, so a set of old bytes never counts.
    Raises ``ServiceUnavailable`` with nothing committed: the set is stored again later with the same UIDs and bytes, so
    what is there already does no harm. Raises ``StreamInvalid`` for objects that are not what the stream said.
    """
    for result in results.objects:  # ``ResultSet`` keeps the manifest last
        first_or_manifest = result.manifest or result is results.objects[0]
        if first_or_manifest and not await unchanged():
            return False
        await archive.store(bytes(result.data), study_id=study_id, sop_instance_uid=result.sop_instance_uid)
    return True
