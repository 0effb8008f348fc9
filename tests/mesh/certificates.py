"""What envoy-mtls.yaml wants in /etc/envoy/tls."""

from pathlib import Path

from cryptography import x509

from tests.support.certificates import LOCAL, Authority

NAMES = (*LOCAL, x509.DNSName("lockstitch"))


def write_certificates(directory: Path) -> Authority:
    """All the files, below one authority for all, which is returned."""
    authority = Authority()
    for name in ("workers-ca", "replicas-ca"):
        (directory / f"{name}.crt").write_bytes(authority.certificate)
    for name in ("server", "client"):
        pair = authority.issue(name, [*NAMES, x509.UniformResourceIdentifier(f"spiffe://example.org/{name}")])
        (directory / f"{name}.crt").write_bytes(pair.certificate)
        (directory / f"{name}.key").write_bytes(pair.private_key)
    return authority
