"""The archive as a peer: its bytes are checked, and its habits known."""

import asyncio
import shutil

import pydicom
import pytest

from services.common.errors import ServiceUnavailable
from services.common.volume import Plane
from services.forwarder.archive import Archive
from services.forwarder.settings import ForwarderSettings
from tests.fakes.orthanc_server import FakeOrthanc, fake_orthanc, orthanc_id
from tests.real.orthanc import real_orthanc
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


class FullDisk(FakeOrthanc):
    """As Orthanc does with a small file: success, and nothing is there."""

    def put(self, data: bytes) -> dict[str, str]:
        """Store one DICOM file, or so it says."""
        answer = super().put(data)
        self.files[answer["ID"]] = b""
        return answer


def test_a_success_that_kept_nothing_is_taken_back():
    """Orthanc looks at no error when it closes the file; its cache, which is off, would show the whole object."""
    fake = FullDisk()
    with fake_orthanc(fake) as url, pytest.raises(ServiceUnavailable, match="full"):
        store(url, series(Plane.SAGITTAL)[0])
    assert not fake.files


@pytest.mark.orthanc
@pytest.mark.skipif(not shutil.which("Orthanc", path="/usr/sbin:/usr/bin"), reason="no Orthanc; run make test")
def test_no_request_crosses_the_end_of_an_idle_connection(tmp_path):
    """Orthanc ends it after a second without a word; thirty clients come back around that moment."""

    async def again(settings: ForwarderSettings, seconds: float) -> None:
        async with Archive(settings) as archive:
            await archive.studies()
            await asyncio.sleep(seconds)
            await archive.studies()

    async def all_of_them(settings: ForwarderSettings) -> None:
        await asyncio.gather(*(again(settings, 0.97 + 0.002 * number) for number in range(30)))

    with real_orthanc(tmp_path / "orthanc", "127.0.0.1:1") as orthanc:
        state = orthanc.state
        settings = ForwarderSettings(orthanc_url=state.orthanc_url, user=state.user, password=state.password)
        for _ in range(3):
            asyncio.run(all_of_them(settings))
