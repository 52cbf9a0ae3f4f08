"""An adapter as users write their own."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter


class Spy(HTTPAdapter):
    """An adapter of a user's own: it remembers the keywords, answers 200, and sends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.keywords: list[dict[str, Any]] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.keywords.append(kwargs)
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url or "", request
        response._content = b""
        return response
