"""The types of a session's methods for one HTTP method each.

They run as requests has them, which hands its keywords on to ``request``: a patch of ``requests.Session.put``, say, is
one of a load session's ``put`` too. ``get`` and ``post`` are those of the direct session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from pytest_ipload.transport.call import Expected
    from pytest_ipload.transport.response import LoadResponse

    class Verbs(requests.Session):
        """What type checkers see; ``name`` and ``expect`` are those of ``LoadSession.request``."""

        def options(
            self, url: str | bytes, *, name: str | None = None, expect: Expected = None, **kwargs: Any
        ) -> LoadResponse:
            """OPTIONS; see ``request``."""

        def head(
            self, url: str | bytes, *, name: str | None = None, expect: Expected = None, **kwargs: Any
        ) -> LoadResponse:
            """HEAD, by default without following redirects; see ``request``."""

        def put(
            self,
            url: str | bytes,
            data: Any = None,
            *,
            name: str | None = None,
            expect: Expected = None,
            **kwargs: Any,
        ) -> LoadResponse:
            """PUT; see ``request``."""

        def patch(
            self,
            url: str | bytes,
            data: Any = None,
            *,
            name: str | None = None,
            expect: Expected = None,
            **kwargs: Any,
        ) -> LoadResponse:
            """PATCH; see ``request``."""

        def delete(
            self, url: str | bytes, *, name: str | None = None, expect: Expected = None, **kwargs: Any
        ) -> LoadResponse:
            """DELETE; see ``request``."""

else:
    Verbs = requests.Session
