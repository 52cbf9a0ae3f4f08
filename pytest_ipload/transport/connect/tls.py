"""One TLS context for many connections: reading the CA bundle takes longer than everything else in a handshake."""

from __future__ import annotations

import os
import ssl
import threading

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import SSLError
from urllib3.util.ssl_ import create_urllib3_context

Verify = bool | str | None
Cert = str | tuple[str, str] | None

_Key = tuple[str | None, str | None, str | None, bool]


class TlsContexts:
    """A thread-safe cache with one ``ssl.SSLContext`` for each pair of ``verify`` and ``cert``, as requests means them.

    A context is made once: later changes of the files are not seen. Sessions can share one cache.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contexts: dict[_Key, ssl.SSLContext] = {}

    def __reduce__(self) -> tuple[type[TlsContexts], tuple[()]]:
        # Contexts cannot be pickled; they are made again where they are needed.
        return TlsContexts, ()

    def get(self, verify: Verify, cert: Cert, *, resumes: bool = False) -> ssl.SSLContext:
        """The context for these settings.

        ``verify``: True for requests' own CA bundle, a path to a file or directory of CA certificates, or a false
        value for no verification at all. ``cert``: the path of a client certificate with its key, or a pair of paths.
        ``resumes``: for connections that resume sessions.

        Raises OSError, in requests' words, if a file is missing, and urllib3's SSLError if one cannot be used.
        """
        key = (ca_location(verify), *cert_files(cert), resumes)
        with self._lock:
            context = self._contexts.get(key)
            if context is None:
                context = self._contexts[key] = _make_context(*key)
            return context


def ca_location(verify: Verify) -> str | None:
    """The file or directory of CA certificates; None for no verification. Raises OSError if it is missing."""
    if not verify:
        return None
    location = DEFAULT_CA_BUNDLE_PATH if verify is True else verify
    if not os.path.exists(location):
        raise OSError(f"Could not find a suitable TLS CA certificate bundle, invalid path: {location}")
    return location


def cert_files(cert: Cert) -> tuple[str | None, str | None]:
    """The files of a client certificate and of its key, if that has one. Raises OSError if one is missing."""
    if not cert:
        return None, None
    cert_file, key_file = (cert, None) if isinstance(cert, str) else (cert[0], cert[1])
    if cert_file and not os.path.exists(cert_file):
        raise OSError(f"Could not find the TLS certificate file, invalid path: {cert_file}")
    if key_file and not os.path.exists(key_file):
        raise OSError(f"Could not find the TLS key file, invalid path: {key_file}")
    return cert_file, key_file


def _make_context(
    ca_location: str | None, cert_file: str | None, key_file: str | None, resumes: bool
) -> ssl.SSLContext:
    # With CERT_REQUIRED urllib3's context also checks the host name, with CERT_NONE neither.
    context = create_urllib3_context(cert_reqs=ssl.CERT_NONE if ca_location is None else ssl.CERT_REQUIRED)
    if resumes:  # urllib3 asks for no tickets of TLS 1.2, as it would not use them
        context.options &= ~ssl.OP_NO_TICKET
    try:
        if ca_location is not None:
            is_directory = os.path.isdir(ca_location)
            context.load_verify_locations(None if is_directory else ca_location, ca_location if is_directory else None)
        if cert_file is not None:
            context.load_cert_chain(cert_file, key_file, _refuse_password)
    except OSError as error:
        raise SSLError(error) from error
    return context


def _refuse_password() -> str:
    # Without this OpenSSL would ask for the password on the terminal.
    raise SSLError("Client private key is encrypted, password is required")
