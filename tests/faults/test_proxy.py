"""The proxy does to a connection what it was told, and nothing else."""

import contextlib
import random
import socket
import threading
import time

import pytest

from tests.faults.proxy import Proxy, ProxyLoop, Trouble


@pytest.fixture
def echo():
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=reply, args=(connection,), daemon=True).start()

    def reply(connection):
        with connection, contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()
    listener.close()


@pytest.fixture
def hop(echo):
    with ProxyLoop() as loop:
        proxy = Proxy(echo, random.Random(1))
        loop.call(proxy.serve())
        yield proxy, loop


def said(proxy, data: bytes, seconds: float = 5.0) -> bytes:
    """What comes back, as far as it comes."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=seconds) as connection:
        connection.sendall(data)
        got = b""
        while len(got) < len(data):
            part = connection.recv(65536)
            if not part:
                break
            got += part
        return got


def test_without_trouble_everything_passes(hop):
    """Byte for byte, in both directions."""
    proxy, _ = hop
    data = random.Random(2).randbytes(300_000)
    assert said(proxy, data) == data


@pytest.mark.parametrize("trouble", [Trouble(refuse=True), Trouble(cut_after_bytes=1000)])
def test_a_cut_or_refused_connection_is_reset(hop, trouble):
    """The client sees an error, not an end."""
    proxy, loop = hop
    loop.call(proxy.suffer(trouble))
    with pytest.raises(ConnectionError):
        said(proxy, bytes(50_000))
    loop.call(proxy.suffer(Trouble()))
    assert said(proxy, b"again") == b"again"


def test_a_stalled_connection_goes_on_when_it_is_healed(hop):
    """Half-open for a while, nothing lost."""
    proxy, loop = hop
    loop.call(proxy.suffer(Trouble(stall=True)))
    with pytest.raises(TimeoutError):
        said(proxy, b"hello", seconds=0.5)
    threading.Timer(0.5, lambda: loop.call(proxy.suffer(Trouble()))).start()
    assert said(proxy, b"hello") == b"hello"


def test_delay_and_trickle_only_cost_time(hop):
    """Late, and whole."""
    proxy, loop = hop
    for trouble in (Trouble(delay_seconds=0.1), Trouble(trickle_bytes=100)):
        loop.call(proxy.suffer(trouble))
        started = time.monotonic()
        assert said(proxy, bytes(1500)) == bytes(1500)
        assert time.monotonic() - started > 0.08
