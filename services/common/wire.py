"""What both ends of the ``Analyze`` stream share: channel options, chunk size, and values to messages."""

from collections.abc import Iterator
from pathlib import Path

import grpc

from services.common.finding import Finding
from services.common.pb import analysis_pb2 as pb
from services.common.tls import client_credentials

CHUNK_BYTES = 1024 * 1024  # measured: 256 KiB to 1 MiB are equally fast on loopback; 1 MiB has the fewest messages
_MESSAGE_BYTES = 4 * CHUNK_BYTES

CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.lb_policy_name", "round_robin"),  # behind one name there may be many pods; the default asks only the first
)

RETRY_AFTER = "retry-after-seconds"  # trailing metadata beside the status RESOURCE_EXHAUSTED

PRIORITY_NAMES = {"stat": pb.PRIORITY_STAT, "routine": pb.PRIORITY_ROUTINE, "backfill": pb.PRIORITY_BACKFILL}
# how much later than an urgent one a study of each priority is due that came at the same time
PATIENCE_SECONDS = {
    pb.PRIORITY_STAT: 0.0,
    pb.PRIORITY_ROUTINE: 300.0,
    pb.PRIORITY_UNSPECIFIED: 300.0,
    pb.PRIORITY_BACKFILL: 3600.0,
}


def open_channel(target: str, *, tls_folder: Path | None = None) -> grpc.aio.Channel:
    """Open a channel to the analysis service at ``host:port``. Calls on it must set a deadline."""
    if tls_folder:
        return grpc.aio.secure_channel(target, client_credentials(tls_folder), options=CHANNEL_OPTIONS)
    return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)


def split(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Cut bytes into chunks; the flag marks the last. Empty data is one empty last chunk."""
    view = memoryview(data)
    for start in range(0, max(len(data), 1), CHUNK_BYTES):
        yield bytes(view[start : start + CHUNK_BYTES]), start + CHUNK_BYTES >= len(data)


def finding_message(finding: Finding) -> pb.FindingSummary:
    """One finding as it travels in a summary."""
    return pb.FindingSummary(
        label=finding.label,
        probability=finding.probability,
        threshold=finding.threshold,
        positive=finding.positive,
        plane=finding.location.plane,
        slice_index=finding.location.slice_index,
        sop_instance_uid=finding.location.sop_instance_uid,
    )
