"""Both gRPC hops speak mutual TLS when a folder of certificates is given."""

import asyncio

import grpc
import pytest

from services.common.errors import ServiceUnavailable
from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub, add_AnalysisServicer_to_server
from services.common.server import new_server, serving
from services.common.tensors import KNEE_CLASSIFICATION
from services.common.tls import server_credentials
from services.common.triton import TritonClient
from services.common.wire import open_channel
from tests.fakes.analysis_server import FakeAnalysis
from tests.fakes.triton_server import FakeTriton, fake_triton
from tools.secrets.certificates import write_identities


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    write_identities(folder, {"server": ("server",), "client": ("client",)}, days=1)
    write_identities(folder / "stranger", {"client": ("client",)}, days=1)
    return folder


def describe(server_folder, client_folder):
    """What a client with these certificates hears from a server with those."""

    async def once():
        server = new_server()
        add_AnalysisServicer_to_server(FakeAnalysis(), server)
        async with (
            serving(server, "localhost:0", drain_seconds=0, tls_folder=server_folder) as address,
            open_channel(address, tls_folder=client_folder) as channel,
        ):
            return await AnalysisStub(channel).Describe(pb.DescribeRequest(), timeout=10)

    return asyncio.run(once())


def test_a_forwarder_with_a_certificate_of_the_authority_is_served(identities):
    """The forwarder's hop."""
    assert describe(identities / "server", identities / "client").digest


@pytest.mark.parametrize("client", ["stranger/client", None], ids=["another authority's", "none"])
def test_a_forwarder_with_any_other_certificate_is_not(identities, client):
    """Neither a stranger's certificate nor none opens the connection."""
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        describe(identities / "server", client and identities / client)
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_service_reaches_triton_with_its_certificate_and_not_without(identities):
    """The hop to Triton, which asks for a certificate too."""
    credentials = server_credentials(identities / "server")
    with fake_triton(FakeTriton(), credentials=credentials) as target:
        with TritonClient(target, timeout_seconds=10, tls_folder=identities / "client") as triton:
            assert triton.parameters(KNEE_CLASSIFICATION)["thresholds"]
        with TritonClient(target, timeout_seconds=2) as triton, pytest.raises(ServiceUnavailable):
            triton.parameters(KNEE_CLASSIFICATION)
