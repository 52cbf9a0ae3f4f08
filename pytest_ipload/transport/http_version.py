"""The adapter for a version of HTTP."""

from __future__ import annotations

from pytest_ipload.base.errors import SettingError
from pytest_ipload.settings.parsing import as_http_version
from pytest_ipload.transport.adapter import SourceAdapter
from pytest_ipload.transport.connect.binding import Binding
from pytest_ipload.transport.connect.tls import TlsContexts

HTTP_1_1 = "1.1"


def adapter_for(http: str, binding: Binding, tls: TlsContexts | None) -> SourceAdapter:
    """The adapter of a session that speaks this version of HTTP.

    Raises SettingError for an unknown version, or one that the installed packages do not speak.
    """
    if http == HTTP_1_1:
        return SourceAdapter(binding, tls)
    try:
        version = as_http_version(http)
    except ValueError as error:
        raise SettingError(f"http: {error}") from None
    if binding.tls_sessions is not None and version != HTTP_1_1:
        raise SettingError(f"tls_resumption needs HTTP/1.1; leave out http={http!r}, or tls_resumption")
    from pytest_ipload.transport.curl.curl_adapter import CurlAdapter

    return SourceAdapter(binding, tls) if version == HTTP_1_1 else CurlAdapter(version, binding, tls)
