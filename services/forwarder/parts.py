"""The forwarder's parts, put together: who knows whom is decided here and nowhere else."""

import os
import socket
from dataclasses import dataclass

from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.forwarder.actual import Actual
from services.forwarder.archive import Archive
from services.forwarder.desk import Desk
from services.forwarder.dispatch import Dispatcher
from services.forwarder.inputs import Inputs
from services.forwarder.lease import Alone, Leadership, Lease
from services.forwarder.ledger import Ledger
from services.forwarder.look import Look
from services.forwarder.replay import Replay
from services.forwarder.settings import ForwarderSettings
from services.forwarder.sweep import Sweep
from services.viewer.feedback import Feedback


@dataclass(frozen=True)
class Parts:
    """One forwarder."""

    ledger: Ledger
    dispatcher: Dispatcher
    sweep: Sweep
    leadership: Leadership
    desk: Desk


def assemble(settings: ForwarderSettings, archive: Archive, stub: AnalysisStub, ledger: Ledger) -> Parts:
    """A forwarder between an archive and a service; nothing runs yet."""
    dispatcher = Dispatcher(settings, archive, stub, ledger)
    inputs = Inputs(archive, stub, ledger)
    actual = Actual(archive, ledger, max_attempts=settings.max_attempts)
    leadership = _leadership(settings, archive)
    sweep = Sweep(
        settings,
        archive,
        Look(settings, archive, dispatcher, inputs=inputs, actual=actual),
        replay=Replay(archive, ledger, dispatcher, inputs),
        leadership=leadership,
    )
    feedback = Feedback(settings.ledger.with_name("feedback.sqlite"))
    return Parts(ledger, dispatcher, sweep, leadership, Desk(archive, stub, ledger, feedback=feedback))


def _leadership(settings: ForwarderSettings, archive: Archive) -> Leadership:
    if not settings.shared_index:
        return Alone()
    return Lease(archive, holder=f"{socket.gethostname()}/{os.getpid()}", seconds=settings.lease_seconds)
