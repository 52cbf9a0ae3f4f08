"""A certificate authority for tests: server contexts, CA files, client certificates."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import trustme


class Certificates:
    """Files below ``folder``: ``ca`` signed the server, ``other_ca`` did not; ``client`` is (certificate, key)."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._folder = folder
        self.ca = str(folder / "ca.pem")
        self.other_ca = str(folder / "other-ca.pem")
        self._authority.cert_pem.write_to_path(self.ca)
        trustme.CA().cert_pem.write_to_path(self.other_ca)
        client = self._authority.issue_cert("client@example.org")
        self.client = (str(folder / "client.pem"), str(folder / "client.key"))
        client.cert_chain_pems[0].write_to_path(self.client[0])
        client.private_key_pem.write_to_path(self.client[1])
        self.client_in_one_file = str(folder / "client-both.pem")
        client.private_key_and_cert_chain_pem.write_to_path(self.client_in_one_file)

    def server_files(self, *names: str) -> tuple[str, str]:
        """A certificate for these names and its key, as files."""
        issued = self._authority.issue_cert(*names)
        certificate, key = self._folder / "server.pem", self._folder / "server.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return str(certificate), str(key)

    def ca_directory(self) -> str | None:
        """A directory in OpenSSL's format (file names are hashes); None without the command openssl."""
        try:
            done = subprocess.run(
                ["openssl", "x509", "-hash", "-noout", "-in", self.ca], capture_output=True, text=True, check=True
            )
        except FileNotFoundError:
            return None
        directory = self._folder / "ca-directory"
        directory.mkdir(exist_ok=True)
        (directory / f"{done.stdout.strip()}.0").write_bytes(Path(self.ca).read_bytes())
        return str(directory)

    def server_context(self, *names: str, client_required: bool = False) -> ssl.SSLContext:
        """What a server for these names and addresses needs; without names, for this host's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*(names or ("localhost", "127.0.0.1", "::1"))).configure_cert(context)
        if client_required:
            self._authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
            # With TLS 1.3 a client learns only after its handshake that its certificate was refused.
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context
