"""The security schemes of an OpenAPI document: each credential is an environment variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_ipload.importers.openapi_document import Document, escaped_key
from pytest_ipload.importers.recording import NUMBER, ImportOptions, Place, Reference, Step, Text
from pytest_ipload.importers.recording import Json as JsonValue
from pytest_ipload.importers.secret_values import KINDS, is_secret_name
from pytest_ipload.importers.tokens import identifier


@dataclass
class Credentials:
    """What an operation has to send."""

    headers: list[tuple[str, Text]]
    query: list[tuple[str, Text]]
    cookies: list[tuple[str, str, Text]]
    """Separator, name and value."""
    auth: tuple[Text, Text] | None = None


class SecuritySchemes:
    """Those of a document."""

    def __init__(self, document: Document, options: ImportOptions) -> None:
        self._document = document
        self._basic_auth = options.basic_auth
        self._prefix = identifier(options.name, "load").upper().strip("_")
        components = document.mapping(document.root.get("components"), "#/components")
        self._schemes = document.mapping(components.get("securitySchemes"), "#/components/securitySchemes")
        self.variables: dict[str, str] = {}

    def credentials(self, operation: Mapping[str, Any], place: str) -> Credentials:
        """Those of the first alternative that an operation allows; none if one of them is to send nothing."""
        found = Credentials([], [], [])
        own = "security" in operation
        where = f"{place}/security" if own else "#/security"
        alternatives = self._document.objects(
            operation["security"] if own else self._document.root.get("security"), where
        )
        if not alternatives or any(not each for each in alternatives):
            return found
        for name in alternatives[0]:
            scheme = self._document.mapping(
                self._schemes.get(name), f"#/components/securitySchemes/{escaped_key(name)}"
            )
            self._add(str(name), scheme, found)
        return found

    def without_secrets(self, step: Step) -> Step:
        """The request with variables for the fields of its body that are secrets by their names."""
        keys = []

        def note(place: Place, text: Text) -> Text:
            keys.append(place.key.lower())
            return text

        step.changed(note)
        is_login = "password" in keys and "username" in keys

        def is_given(place: Place) -> bool:
            is_user = is_login and place.key.lower() == "username"
            return place.kind in ("form", "json") and (is_user or is_secret_name(place))

        def variable(place: Place) -> Reference:
            return self._variable(place.key, f"{KINDS[place.kind]} {place.key} of {step.label}")

        return step.changed(
            lambda place, text: Text((variable(place),)) if text.literal and is_given(place) else text,
            lambda place, number: self._number(variable(place)) if is_given(place) else number,
        )

    def _number(self, reference: Reference) -> JsonValue:
        return Text((replace(reference, form=NUMBER),))

    def _add(self, name: str, scheme: Mapping[str, Any], found: Credentials) -> None:
        kind, http = str(scheme.get("type")), str(scheme.get("scheme", "")).lower()
        if kind == "apiKey":
            key = str(scheme.get("name", name))
            text = Text((self._variable(key, f"the API key in {key}"),))
            if scheme.get("in") == "query":
                found.query.append((key, text))
            elif scheme.get("in") == "cookie":
                found.cookies.append(("; " if found.cookies else "", key, text))
            else:
                found.headers.append((key, text))
        elif kind == "http" and http == "basic":
            self._add_basic(found)
        elif kind in ("http", "oauth2", "openIdConnect"):
            prefix = "Bearer" if http in ("", "bearer") else http.title()
            token = self._variable("token", f"the token of {name}")
            found.headers.append(("Authorization", Text((f"{prefix} ", token))))

    def _add_basic(self, found: Credentials) -> None:
        if self._basic_auth:
            user, password = self._variable("user", "the user name"), self._variable("password", "the password")
            found.auth = (Text((user,)), Text((password,)))
        else:
            credentials = self._variable("basic_auth", "base64 of USER:PASSWORD")
            found.headers.append(("Authorization", Text(("Basic ", credentials))))

    def _variable(self, name: str, what: str) -> Reference:
        key = re.sub("(?i)^x-", "", name)
        variable = f"{self._prefix}_{identifier(key, 'secret').upper().strip('_')}"
        self.variables.setdefault(variable, what)
        return Reference(variable, secret=True)
