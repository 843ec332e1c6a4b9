"""A certificate authority of a test's own, with a certificate for servers on this machine."""

import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


class Authority:
    """Its own certificate (`file`), and certificate and key of a server on 127.0.0.1, as PEM files in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        made = trustme.CA()
        self.file, self.certificate, self.key, self.both = (
            folder / f"{name}-{part}.pem" for part in ("authority", "certificate", "key", "both")
        )
        made.cert_pem.write_to_path(str(self.file))
        server = made.issue_cert("127.0.0.1", "localhost")
        chain = b"".join(pem.bytes() for pem in server.cert_chain_pems)
        self.certificate.write_bytes(chain)
        self.key.write_bytes(server.private_key_pem.bytes())
        key = load_pem_private_key(server.private_key_pem.bytes(), None)
        # Java reads no other form.
        self.both.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain)

    @property
    def context(self) -> ssl.SSLContext:
        """For a client that trusts this authority alone."""
        return ssl.create_default_context(cafile=self.file)
