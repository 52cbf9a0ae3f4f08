"""pycurl, which is imported only where a version of HTTP needs it: it comes with the extra ``http2``."""

from __future__ import annotations

import select
from typing import Any

from pytest_ipload.base.errors import SettingError

HTTP_2, HTTP_3 = "2", "3"
_INSTALL = "pip install 'pytest-ipload[http2]'"
_NEEDED = ("PREREQFUNCTION", "REQUEST_TARGET", "CURL_HTTP_VERSION_3ONLY", "SOCKOPT_ALREADY_CONNECTED")


def check_http_version(http: str) -> None:
    """Raise SettingError if the installed packages do not speak this version of HTTP."""
    if http in (HTTP_2, HTTP_3):
        load_pycurl(http)


def load_pycurl(http: str) -> Any:
    """pycurl, if it can do this version of HTTP, ``"2"`` or ``"3"``.

    Raises SettingError, which says how to install it.
    """
    given = f"http={http!r}"
    try:
        import pycurl
    except ImportError as error:
        raise SettingError(
            f"{given} needs pycurl, which cannot be imported ({error}); install it with: {_INSTALL}"
        ) from None
    if not hasattr(select, "poll"):
        raise SettingError(f"{given} needs a system with poll(), such as Linux or macOS; leave it out for HTTP/1.1")
    if any(not hasattr(pycurl, name) for name in _NEEDED):
        raise SettingError(f"{given}: pycurl is too old ({pycurl.version}); install another with: {_INSTALL} --upgrade")
    feature = pycurl.VERSION_HTTP2 if http == HTTP_2 else pycurl.VERSION_HTTP3
    if not pycurl.version_info()[4] & feature:
        raise SettingError(
            f"{given}: the libcurl of the installed pycurl was built without HTTP/{http} ({pycurl.version}); pycurl's "
            f"wheels from PyPI have it: {_INSTALL} --only-binary=pycurl --force-reinstall"
        )
    return pycurl
