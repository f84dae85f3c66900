"""A forwarder between a fake archive and a fake service, both real servers, driven sweep by sweep."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.wire import open_channel
from services.forwarder.archive import Archive
from services.forwarder.dispatch import Dispatcher
from services.forwarder.ledger import Ledger
from services.forwarder.parts import assemble
from services.forwarder.settings import ForwarderSettings
from services.forwarder.sweep import Sweep
from tests.fakes.analysis_server import FakeAnalysis, fake_analysis
from tests.fakes.orthanc_server import FakeOrthanc, fake_orthanc, orthanc_id
from tests.fakes.result_objects import result_objects
from tests.studies import part10


@dataclass
class Bench:
    """One forwarder's parts and both fakes."""

    orthanc: FakeOrthanc
    service: FakeAnalysis
    sweep: Sweep
    dispatcher: Dispatcher
    ledger: Ledger

    def receive(self, instances) -> str:
        """Store source instances; returns Orthanc's id of the study."""
        for each in instances:
            self.orthanc.put(part10(each))
        return orthanc_id(instances[0], 2)

    async def settle(self, sweeps: int = 3) -> None:
        """Sweep a few times, each time letting the work that was started end, and waiting out no pause."""
        for _ in range(sweeps):
            await self.sweep.once()
            await asyncio.gather(*self.dispatcher._running.values(), return_exceptions=True)
            self.dispatcher._pauses.clear()

    @property
    def states(self) -> list[tuple[str, str]]:
        """Every (state, code) ever shown, without repeats in a row."""
        pairs = [(each["state"], each["code"]) for each in self.orthanc.shown]
        return [pair for index, pair in enumerate(pairs) if index == 0 or pair != pairs[index - 1]]


@dataclass
class Site:
    """What outlives a forwarder: the archive, the service, and the ledger's file."""

    orthanc: FakeOrthanc
    service: FakeAnalysis
    folder: Path

    @asynccontextmanager
    async def forwarder(self, **settings: Any) -> AsyncIterator[Bench]:
        """Start a forwarder that is not quiet-waiting unless told; leaving the block stops it."""
        with fake_orthanc(self.orthanc) as url:
            async with fake_analysis(self.service) as analysis, open_channel(analysis) as channel:
                values = {"quiet_seconds": 0, "rest_seconds": 5, "study_seconds": 10, **settings}
                path = self.folder / "ledger.sqlite"
                chosen = ForwarderSettings(orthanc_url=url, analysis=analysis, password="p", ledger=path, **values)
                ledger, stub = Ledger(path), AnalysisStub(channel)
                async with Archive(chosen) as archive:
                    parts = assemble(chosen, archive, stub, ledger)
                    try:
                        yield Bench(self.orthanc, self.service, parts.sweep, parts.dispatcher, ledger)
                    finally:
                        await parts.dispatcher.stop()
                        ledger.close()

    def run(self, body: Callable[[Bench], Any], **settings: Any) -> Any:
        """Run one forwarder's life: start, ``body``, stop."""

        async def life() -> Any:
            async with self.forwarder(**settings) as bench:
                return await body(bench)

        return asyncio.run(life())


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(FakeOrthanc(), FakeAnalysis(make_objects=result_objects), tmp_path)
