"""Mutual TLS from one folder: who we are, and whom we believe.

The file names are those of a Kubernetes TLS Secret as cert-manager writes it, so a folder is a mounted Secret. The
files are read when a connection or a server is made; a renewed certificate counts after a restart.
"""

from pathlib import Path

import grpc

CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"


def client_credentials(folder: Path) -> grpc.ChannelCredentials:
    """For a client that shows its certificate and believes the folder's authority; raises ``OSError``."""
    certificate, key, authority = _read(folder)
    return grpc.ssl_channel_credentials(authority, key, certificate)


def server_credentials(folder: Path) -> grpc.ServerCredentials:
    """For a server that talks only to clients whom the folder's authority vouches for; raises ``OSError``."""
    certificate, key, authority = _read(folder)
    return grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)


def _read(folder: Path) -> tuple[bytes, bytes, bytes]:
    return (folder / CERTIFICATE).read_bytes(), (folder / KEY).read_bytes(), (folder / AUTHORITY).read_bytes()
