"""Whether the service of this container works: ``python -m services.preprocessing.probe``, exit status 0 or 1.

It asks what a forwarder asks first, over the same mutual TLS: the answer needs Triton with all models behind it.
``--live`` asks only whether the process answers at all, since restarting it would not bring Triton back.
"""

import argparse
import asyncio
import sys

import grpc

from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.wire import open_channel
from services.preprocessing.settings import PreprocessingSettings

_SECONDS = 10.0


async def works(settings: PreprocessingSettings, *, live_only: bool) -> bool:
    """Whether the service on this machine answers; with ``live_only`` a refusal is an answer, too."""
    port = settings.listen.rpartition(":")[2]
    target = f"localhost:{port}"  # a name that every certificate has beside its Service's
    async with open_channel(target, tls_folder=settings.tls_folder) as channel:
        stub = AnalysisStub(channel)  # type: ignore[no-untyped-call]
        try:
            await stub.Describe(pb.DescribeRequest(), timeout=_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError:
            return live_only and channel.get_state() is grpc.ChannelConnectivity.READY
    return True


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m services.preprocessing.probe", description=__doc__)
    parser.add_argument("--live", action="store_true", help="only whether the process answers")
    options = parser.parse_args()
    return 0 if asyncio.run(works(PreprocessingSettings(), live_only=options.live)) else 1


if __name__ == "__main__":
    sys.exit(main())
