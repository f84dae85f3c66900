"""Results into the archive, the manifest last: until it is there, the set does not count."""

from services.forwarder.archive import Archive
from services.forwarder.stream import ResultSet


async def store_result_set(archive: Archive, results: ResultSet) -> None:
    """Store every object of a complete set; raises ``ServiceUnavailable`` with nothing committed.

    An interrupted set is stored again with the same UIDs and bytes, so what is there already does no harm.
    """
    for result in results.objects:  # ``ResultSet`` keeps the manifest last
        await archive.store(bytes(result.data))
