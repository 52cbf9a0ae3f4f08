"""Operations of OpenAPI documents become load tests with data that their schemas allow."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hars import imported

from pytest_ipload.importers.openapi_document import Document
from pytest_ipload.importers.recording import ImportProblem, JsonBody, Text
from pytest_ipload.importers.schema_data import SchemaData


def document(paths: dict[str, Any], **more: Any) -> str:
    servers = [{"url": "https://api.test/v1"}]
    return json.dumps(
        {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "servers": servers, "paths": paths, **more}
    )


def operation(method: str = "get", path: str = "/things", **fields: Any) -> str:
    return document({path: {method: {"responses": {"200": {}}, **fields}}})


def parameter(name: str, kind: str, schema: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": kind, "schema": schema, **more}


def call(text: str) -> str:
    """The statement of the only load test, as ``ast`` writes it."""
    [function] = [each for each in ast.parse(imported(text)[1]).body if isinstance(each, ast.FunctionDef)]
    return ast.unparse(function.body[-1])


def test_each_operation_is_a_load_test() -> None:
    paths = {
        "/pets": {
            "get": {"operationId": "listPets", "summary": 'All "pets"'},
            "post": {"responses": {"201": {}, "400": {}}},
        },
        "/pets/{petId}": {
            "parameters": [parameter("petId", "path", {"type": "integer", "minimum": 5})],
            "delete": {"responses": {"204": {}, "3XX": {}}},
        },
    }
    recording, module = imported(document(paths))
    assert re.findall(r"def (test_\w+)", module) == ["test_list_pets", "test_post_pets", "test_delete_pets_pet_id"]
    assert recording.base_url == "https://api.test/v1"
    assert '"""GET /pets: All \'pets\'."""' in module
    assert 'ipload_session.post("/pets", expect=201)' in module
    assert 'ipload_session.delete("/pets/5", name="DELETE /pets/{petId}", expect=[204, "3xx"])' in module


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (parameter("q", "query", {"type": "string"}), ""),
        (parameter("q", "query", {"type": "string"}, required=True), 'params={"q": "text"}, '),
        (parameter("q", "query", {"type": "string", "default": "a b"}), 'params={"q": "a b"}, '),
        (parameter("q", "query", {"enum": ["x", "y"]}, example="y"), 'params={"q": "y"}, '),
        (parameter("q", "query", {}, examples={"one": {"value": 5}}), 'params={"q": "5"}, '),
        (
            parameter("q", "query", {"type": "array", "items": {"enum": [1, 2]}, "minItems": 2}, required=True),
            'params=[("q", "1"), ("q", "1")], ',
        ),
        (parameter("q", "query", {"default": ["a", "b"]}, explode=False), 'params={"q": "a,b"}, '),
        (parameter("q", "query", {"default": ["a", "b"]}, style="pipeDelimited"), 'params={"q": "a|b"}, '),
        (parameter("q", "query", {"default": {"a": 1}}, style="deepObject"), 'params={"q[a]": "1"}, '),
        (parameter("X-It", "header", {"type": "boolean"}, required=True), 'headers={"X-It": "true"}, '),
        (parameter("Authorization", "header", {"type": "string"}, required=True), ""),
        (
            parameter("lang", "cookie", {"type": "string", "const": "de"}, required=True),
            'headers={"Cookie": "lang=de"}, ',
        ),
        (
            {
                "name": "f",
                "in": "query",
                "required": True,
                "content": {"application/json": {"schema": {"const": {"a": 1}}}},
            },
            'params={"f": \'{"a": 1}\'}, ',
        ),
    ],
)
def test_parameters_are_sent_where_they_belong(given: dict[str, Any], sent: str) -> None:
    text = operation(parameters=[given])
    assert call(text) == ast.unparse(ast.parse(f'ipload_session.get("/things", {sent}expect=200)'))


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (
            {"application/json": {"schema": {"type": "object", "properties": {"a": {"type": "string"}}}}},
            'json={"a": "text"}',
        ),
        ({"application/vnd.x+json": {"example": [1]}}, 'headers={"Content-Type": "application/vnd.x+json"}, json=[1]'),
        (
            {"application/x-www-form-urlencoded": {"example": {"a": 1, "b": ["x", "y"]}}},
            'data=[("a", "1"), ("b", "x"), ("b", "y")]',
        ),
        (
            {
                "multipart/form-data": {
                    "schema": {"properties": {"f": {"type": "string", "format": "binary"}, "n": {"const": "x"}}}
                }
            },
            'files=[("f", ("f.txt", "text", "text/plain")), ("n", (None, "x"))]',
        ),
        ({"text/plain": {"example": "hello"}}, 'headers={"Content-Type": "text/plain"}, data="hello"'),
        ({"application/xml": {"schema": {}}, "application/json": {"example": {}}}, "json={}"),
    ],
)
def test_bodies_are_sent_in_their_media_type(content: Any, sent: str) -> None:
    found = call(operation("post", requestBody={"content": content}))
    assert found == ast.unparse(ast.parse(f'ipload_session.post("/things", {sent}, expect=200)'))


@pytest.mark.parametrize(
    ("scheme", "sent"),
    [
        ({"type": "http", "scheme": "bearer"}, 'headers={"Authorization": f"Bearer {SHOP_TOKEN}"}'),
        ({"type": "oauth2", "flows": {}}, 'headers={"Authorization": f"Bearer {SHOP_TOKEN}"}'),
        ({"type": "http", "scheme": "basic"}, "auth=(SHOP_USER, SHOP_PASSWORD)"),
        ({"type": "apiKey", "in": "header", "name": "X-API-Key"}, 'headers={"X-API-Key": SHOP_API_KEY}'),
        ({"type": "apiKey", "in": "query", "name": "key"}, 'params={"key": SHOP_KEY}'),
        ({"type": "apiKey", "in": "cookie", "name": "sid"}, 'headers={"Cookie": f"sid={SHOP_SID}"}'),
    ],
)
def test_credentials_are_variables(scheme: dict[str, Any], sent: str) -> None:
    text = document(
        {"/a": {"get": {}}, "/b": {"get": {"security": []}}, "/c": {"get": {"security": [{}, {"it": []}]}}},
        security=[{"it": []}],
        components={"securitySchemes": {"it": scheme}},
    )
    _, module = imported(text)
    assert sent in module
    assert 'ipload_session.get("/b")' in module
    assert 'ipload_session.get("/c")' in module


SCHEMAS: list[Any] = [
    {"type": "string", "minLength": 3, "maxLength": 3},
    {"type": "string", "minLength": 30},
    {"type": "string", "pattern": "^[A-Z]{3}$"},
    {"type": "string", "pattern": r"^\d{12}$"},
    {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"},
    {"type": "string", "pattern": "^[A-Z||[]$"},
    {"type": "string", "pattern": r"^SKU-\d{4}-[A-Z]{2}$"},
    {"type": "string", "pattern": "^(?:red|green)_[^a-z]+[.]x?$", "minLength": 12},
    {"type": "string", "pattern": r"^\+49 \(0\)[1-9][0-9]{2,5}/\w{3,}$"},
    {"type": "integer", "minimum": 10, "multipleOf": 7},
    {"type": "integer", "exclusiveMinimum": 4, "maximum": 5},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5},
    {"type": "integer", "maximum": -3},
    {"type": ["null", "boolean"]},
    {"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": "integer"}, "maxItems": 0},
    {"anyOf": [{"type": "null"}, {"type": "integer"}]},
    {
        "allOf": [
            {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}},
            {"required": ["b"], "properties": {"b": {"const": 2}}},
        ]
    },
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": "x"}}, "required": ["kind"]}, {"type": "string"}]},
    {"properties": {"when": {"type": "string", "format": "date-time"}, "id": {"type": "string", "format": "uuid"}}},
    {"type": "object", "required": ["x"]},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:40])
def test_data_is_what_the_schema_allows(schema: Any) -> None:
    made = SchemaData(Document({}))
    jsonschema.validate(made.value(schema, "#"), schema, format_checker=jsonschema.FormatChecker())
    assert made.notes == {}


@pytest.mark.parametrize(
    "pattern", ["^(a|aa)+(?=#)b$", "^(a+)+(?!b)#^$", "^(a*)*#^$", r"^[\b-z]#$", "[", "(?", "a{99999999999}", "x" * 1000]
)
def test_a_pattern_that_cannot_be_met_is_said_at_once(pattern: str) -> None:
    made = SchemaData(Document({}))
    assert made.value({"type": "string", "pattern": pattern}, "#/x") == "text"
    assert list(made.notes) == [f"#/x: no text for the pattern {pattern[:60]!r} was found; put one in"]


@pytest.mark.parametrize("form", ["python", "yaml"])
def test_a_place_without_a_valid_text_has_a_comment(form: str) -> None:
    schema = {"properties": {"code": {"type": "string", "pattern": r"^(?=x)\d$"}}}
    body = {"content": {"application/json": {"schema": schema}}}
    recording, written = imported(operation("post", requestBody=body), form)
    [note] = recording.notes
    assert f"    # {note}\n" in written
    assert "no text for the pattern '^(?=x)\\\\d$' was found; put one in" in note


def test_secrets_in_bodies_are_variables() -> None:
    properties = {key: {"type": "string"} for key in ("username", "password", "client_secret", "scope")}
    form = {"content": {"application/x-www-form-urlencoded": {"schema": {"properties": properties}}}}
    pin = {"content": {"application/json": {"example": {"pin": 1234, "username": "joe", "token": "t"}}}}
    recording, module = imported(
        document({"/token": {"post": {"requestBody": form}}, "/pin": {"post": {"requestBody": pin}}})
    )
    assert recording.variables == {
        "SHOP_USERNAME": "form field username of POST /token",
        "SHOP_PASSWORD": "form field password of POST /token",
        "SHOP_CLIENT_SECRET": "form field client_secret of POST /token",
        "SHOP_PIN": "JSON field pin of POST /pin",
        "SHOP_TOKEN": "JSON field token of POST /pin",
    }
    assert 'json={"pin": int(SHOP_PIN), "username": "joe", "token": SHOP_TOKEN}' in module


def test_recursive_schemas_end() -> None:
    node = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "parent": {"$ref": "#/components/schemas/Node"},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
            "secret": {"type": "string", "readOnly": True},
        },
    }
    wide = {
        f"S{n}": {
            "type": "object",
            "properties": {f"p{m}": {"$ref": f"#/components/schemas/S{(n * 7 + m) % 40}"} for m in range(40)},
        }
        for n in range(40)
    }
    components = {"schemas": {"Node": node, **wide}}
    for name in ("Node", "S0"):
        body = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}
        _, module = imported(document({"/x": {"post": {"requestBody": body}}}, components=components))
        assert len(module) < 300_000
    [step] = imported(
        document(
            {
                "/x": {
                    "post": {
                        "requestBody": {
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}
                        }
                    }
                }
            },
            components=components,
        )
    )[0].steps()
    assert step.body == JsonBody({"name": Text.of("text"), "children": []})


def test_yaml_is_read_and_dates_in_it_are_texts() -> None:
    text = yaml.safe_dump(
        json.loads(operation("post", requestBody={"content": {"application/json": {"example": "X"}}}))
    )
    _, module = imported(text.replace("example: X", "example: {on: 2026-01-31, '1': 5}").replace("'200'", "200"))
    assert 'json={True: "2026-01-31", "1": 5}' not in module
    assert '"2026-01-31"' in module
    assert "expect=200" in module


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"swagger": "2.0", "paths": {}}', "swagger 2.0 is not supported; convert it to OpenAPI 3 first"),
        ('{"openapi": "4.0"}', "#/openapi: '4.0' was given; versions 3.0 and 3.1 are supported"),
        ('{"openapi": "3.0.0"}', "#/paths: the document has no operations"),
        ('{"openapi": "3.0.0", "paths": []}', "#/paths: an array was given; it has to be an object"),
        ('{"openapi": "3.0.0", "paths": {"x": {}}}', "#/paths/x: a path has to begin with /"),
        (
            '{"openapi": "3.0.0", "paths": {"/x": {"get": 5}}}',
            "#/paths/~1x/get: a whole number was given; it has to be an object",
        ),
        (
            '{"openapi": "3.0.0", "paths": {"/x": {"$ref": "other.yaml"}}}',
            "#/paths/~1x/$ref: 'other.yaml' is another file; bundle",
        ),
        (
            '{"openapi": "3.0.0", "paths": {"/x": {"$ref": "#/nowhere"}}}',
            "#/paths/~1x/$ref: '#/nowhere' does not exist",
        ),
        ('{"openapi": "3.0.0", "paths": {"/x": {"$ref": "#/paths/~1x"}}}', "#/paths/~1x: its $ref leads to itself"),
        (
            '{"openapi": "3.0.0", "paths": {"/x": {"get": {"parameters": {}}}}}',
            "#/paths/~1x/get/parameters: an object was given",
        ),
        (
            "openapi: 3.0.0\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" if n else "a0: &a0 [x]\n" for n in range(9)),
            "its aliases amount to more than 2000000 values",
        ),
        ("openapi: 3.0.0\npaths: &a [*a]", "not usable: its values are nested too deeply"),
        ("openapi: 3.0.0\npaths: [", "line 2, column 9: not valid YAML"),
        (
            "openapi: 3.0.0\npaths: !!python/object/apply:os.system [ls]",
            "line 2, column 8: not valid YAML: could not determine a constructor",
        ),
    ],
)
def test_what_is_wrong_with_a_document_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ImportProblem) as problem:
        imported(text)
    assert str(problem.value).startswith(said)


def test_without_a_host_the_note_says_where_to_give_it() -> None:
    text = operation().replace("https://api.test/v1", "/v1")
    recording, module = imported(text)
    assert recording.notes == [
        "the document does not name the server's host: give it with --base-url, or run with --ipload-base-url",
        "its server is /v1: make that the end of the base URL",
    ]
    assert "BASE_URL" not in module
    assert "import pytest\n" not in module
    assert "import LoadSession\n\n\ndef" in module
    assert imported(text, base_url="http://localhost:8000/v1")[0].base_url == "http://localhost:8000/v1"


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2000)
    | st.floats(allow_nan=False)
    | st.sampled_from(["string", "object", "array", "integer", "null", "#/a", "^a*$", "date", "query", "{", '"']),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "required",
                    "enum",
                    "allOf",
                    "oneOf",
                    "anyOf",
                    "default",
                    "example",
                    "examples",
                    "minimum",
                    "maximum",
                    "minLength",
                    "maxLength",
                    "minItems",
                    "format",
                    "pattern",
                    "multipleOf",
                    "exclusiveMinimum",
                    "$ref",
                    "content",
                    "schema",
                    "name",
                    "in",
                    "parameters",
                    "responses",
                    "requestBody",
                    "security",
                    "uniqueItems",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150)
@given(
    operation=st.dictionaries(
        st.sampled_from(["parameters", "requestBody", "responses", "security", "summary", "operationId"]), anything
    )
)
def test_anything_in_a_document_is_imported_or_named(operation: dict[str, Any]) -> None:
    text = document({"/x/{y}": {"post": operation}}, a={"type": "string"})
    try:
        _, module = imported(text)
    except ImportProblem:
        return
    compile(module, "test_it.py", "exec")
