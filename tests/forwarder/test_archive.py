"""What is in the archive already is believed only where its bytes are right."""

import asyncio

import pydicom
import pytest

from services.common.errors import ServiceUnavailable
from services.common.volume import Plane
from services.forwarder.archive import Archive
from services.forwarder.settings import ForwarderSettings
from tests.fakes.orthanc_server import FakeOrthanc, fake_orthanc, orthanc_id
from tests.studies import part10, series


def store(archive_url: str, dataset: pydicom.Dataset) -> None:
    async def once() -> None:
        async with Archive(ForwarderSettings(orthanc_url=archive_url)) as archive:
            uid = str(dataset.SOPInstanceUID)
            await archive.store(part10(dataset), study_id=orthanc_id(dataset, 2), sop_instance_uid=uid)

    asyncio.run(once())


def test_an_object_whose_file_was_cut_is_stored_anew():
    """A full disk leaves an instance with a broken file; a second store must not take it for the right one."""
    fake, dataset = FakeOrthanc(), series(Plane.SAGITTAL)[0]
    with fake_orthanc(fake) as url:
        store(url, dataset)
        store(url, dataset)
        (key,) = fake.files
        fake.files[key] = fake.files[key][:-100]
        with pytest.raises(ServiceUnavailable):
            store(url, dataset)
        assert not fake.files
        store(url, dataset)
    assert fake.files[key] == part10(dataset)
