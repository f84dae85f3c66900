"""Passwords and certificates are made by chance, once, and for their readers only."""

import json
import subprocess
import sys
from pathlib import Path

from cryptography import x509

from services.common import tls
from tools.secrets import certificates
from tools.secrets.__main__ import IDENTITIES, make_secrets

ROOT = Path(__file__).parents[3]


def test_file_names_are_those_the_services_look_for():
    """The command that makes them must not need gRPC, so they are written down twice."""
    ours = (certificates.CERTIFICATE, certificates.KEY, certificates.AUTHORITY)
    assert ours == (tls.CERTIFICATE, tls.KEY, tls.AUTHORITY)


def test_two_installations_share_nothing(tmp_path):
    """No default password, no shared key."""
    one, two = tmp_path / "one", tmp_path / "two"
    make_secrets(one, days=1)
    make_secrets(two, days=1)
    for path in (each for each in one.rglob("*") if each.is_file()):
        assert path.read_bytes() != (two / path.relative_to(one)).read_bytes(), path
    users = json.loads((one / "orthanc.json").read_text())["RegisteredUsers"]
    assert len(set(users.values())) == 2
    assert all(len(password) >= 20 for password in users.values())


def test_a_certificate_names_its_service_and_loopback_and_ends(tmp_path):
    """The key of the authority is nowhere."""
    make_secrets(tmp_path / "secrets", days=30)
    for service in IDENTITIES:
        folder = tmp_path / "secrets/tls" / service
        assert sorted(path.name for path in folder.iterdir()) == ["ca.crt", "tls.crt", "tls.key"]
        certificate = x509.load_pem_x509_certificate((folder / "tls.crt").read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [service, "localhost"]
        assert 29 <= (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days <= 31


def test_nothing_is_written_over(tmp_path):
    """Secrets in use are worth more than new ones, and no password is printed."""
    folder = tmp_path / "secrets"
    command = [sys.executable, "-m", "tools.secrets", "--folder", str(folder)]
    first, second = (subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False) for _ in range(2))
    password = (folder / "reader.txt").read_text().strip()
    assert (first.returncode, second.returncode) == (0, 1)
    assert password not in first.stdout + second.stdout
    assert password in (folder / "orthanc.json").read_text()
