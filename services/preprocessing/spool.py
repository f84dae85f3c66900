"""The folder in which one study waits for its worker: instances in, result objects out, then nothing."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.common.errors import StreamInvalid
from services.common.pb import analysis_pb2 as pb


class Spool:
    """The folder of all studies in work; this process alone uses it.

    What an earlier run left behind is removed at the start, because the caller of a lost study sends it again; what a
    disk that was away for a moment left behind, before the next study comes in.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: set[Path] = set()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)  # a mounted volume is emptied but stays

    @contextmanager
    def place_for(self, header: pb.StudyHeader) -> Iterator["Intake"]:
        """A private folder for one study, removed afterwards whatever happened."""
        for stranger in set(self._folder.iterdir()) - self._places:
            shutil.rmtree(stranger, ignore_errors=True)
        place = Path(tempfile.mkdtemp(dir=self._folder))
        self._places.add(place)
        intake = Intake(place, header)
        try:
            yield intake
        finally:
            intake.close()
            shutil.rmtree(place, ignore_errors=True)
            self._places.discard(place)


class Intake:
    """Writes the chunks of one stream to files named by their index, and holds the stream to its header."""

    def __init__(self, folder: Path, header: pb.StudyHeader) -> None:
        self.folder = folder
        self._header = header
        self._file = (folder / _file_name(0)).open("wb")
        self._open = True
        self._complete = 0
        self._bytes = 0

    def write(self, chunk: pb.InstanceChunk) -> None:
        """Append one chunk; raises ``StreamInvalid`` where it does not follow the last one or exceeds the header."""
        if chunk.instance_index != self._complete or self._complete >= self._header.instance_count:
            message = "instance chunks must come in order, as many instances as the header says"
            raise StreamInvalid(message)
        self._bytes += len(chunk.data)
        if self._bytes > self._header.total_bytes:
            message = "more bytes than the header says"
            raise StreamInvalid(message)
        if not self._open:
            self._file = (self.folder / _file_name(chunk.instance_index)).open("wb")
            self._open = True
        self._file.write(chunk.data)
        if chunk.last:
            self.close()
            self._complete += 1

    def finish(self, end: pb.EndOfStudy) -> tuple[Path, ...]:
        """The instance files in the order sent; raises ``StreamInvalid`` where header, stream and end disagree."""
        counts = {end.instance_count, self._complete, self._header.instance_count}
        if len(counts) > 1 or self._bytes != self._header.total_bytes or self._complete == 0:
            message = "header, chunks and end of study disagree about the number of instances or bytes"
            raise StreamInvalid(message)
        return tuple(self.folder / _file_name(index) for index in range(self._complete))

    def close(self) -> None:
        """Close the current file."""
        self._file.close()
        self._open = False


def _file_name(index: int) -> str:
    return f"{index:06d}.dcm"
