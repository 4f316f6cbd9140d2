"""The documentation says what the API does: it is compared with the tables the API is made of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from photogram.api.app import PUBLIC_PATHS, create_app
from photogram.api.attributes import ATTRIBUTES
from photogram.api.errors import STATUSES
from photogram.api.middleware import EXPOSED_HEADERS
from photogram.api.openai_request import EDIT_ATTRIBUTES, OPENAI_ATTRIBUTES
from photogram.api.openapi import attribute_table
from photogram.core.errors import CheckpointError, ConfigurationError, PhotogramError
from tests.unit.api.serving import open_site

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_site(tmp_path_factory.mktemp("site") / "data") as site:
        yield create_app(site.services).openapi()


def _codes() -> set[str]:
    return {family.code for family in STATUSES} - {CheckpointError.code, ConfigurationError.code}


def test_the_page_holds_the_tables_of_attributes() -> None:
    assert attribute_table() in DOCS.read_text()
    assert attribute_table(OPENAI_ATTRIBUTES) in DOCS.read_text()
    assert attribute_table(EDIT_ATTRIBUTES) in DOCS.read_text()


@pytest.mark.parametrize("code", sorted(_codes()))
def test_the_page_holds_every_code(code: str) -> None:
    assert f"`{code}`" in DOCS.read_text()


@pytest.mark.parametrize(
    ("family", "status"),
    [(family, status) for family, status in STATUSES.items() if family is not PhotogramError],
)
def test_the_page_gives_every_code_its_status(family: type[PhotogramError], status: int) -> None:
    rows = [row for row in DOCS.read_text().splitlines() if row.startswith(f"| {status} |")]
    assert len(rows) == 1
    assert f"`{family.code}`" in rows[0]


@pytest.mark.parametrize("name", EXPOSED_HEADERS)
def test_the_page_holds_every_header(name: str) -> None:
    assert f"`{name}`" in DOCS.read_text()


def test_the_page_holds_every_route(document: Any) -> None:
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"`{method.upper()} {path}`" in DOCS.read_text()


def test_only_public_routes_are_open(document: Any) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) is (path not in PUBLIC_PATHS)
    schemes = document["components"]["securitySchemes"]
    assert schemes["x-api-key"] == {"type": "apiKey", "in": "header", "name": "x-api-key"}
    assert schemes["bearer"]["scheme"] == "bearer"


def test_the_request_has_every_attribute_with_its_limits(document: Any) -> None:
    content = document["paths"]["/v1/flux-dev"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    schema = content["application/json"]["schema"]
    assert schema["required"] == ["prompt"]
    assert list(schema["properties"]) == [attribute.name for attribute in ATTRIBUTES]
    steps = schema["properties"]["steps"]
    assert {key: steps[key] for key in ("type", "minimum", "maximum", "default")} == {
        "type": "integer",
        "minimum": 1,
        "maximum": 50,
        "default": 25,
    }


def test_the_answers_are_all_described(document: Any) -> None:
    responses = document["paths"]["/v1/flux-dev"]["post"]["responses"]
    assert set(responses) == {
        *("200", "400", "401", "403", "406", "408", "409", "413", "415", "429", "431", "500"),
        *("503", "504"),
    }
    assert set(responses["200"]["content"]) == {
        *("image/webp", "image/jpeg", "image/png", "application/json"),
        *("multipart/mixed", "application/zip", "text/event-stream"),
    }
    for status, response in responses.items():
        if status != "200":
            schema = response["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}


def test_the_routes_of_openai_have_its_shape(document: Any) -> None:
    operation = document["paths"]["/v1/images/generations"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert list(schema["properties"]) == [attribute.name for attribute in OPENAI_ATTRIBUTES]
    assert set(operation["responses"]["200"]["content"]) == {
        *("application/json", "text/event-stream")
    }
    edits = document["paths"]["/v1/images/edits"]["post"]["requestBody"]["content"]
    assert set(edits) == {"multipart/form-data", "application/json"}
    assert edits["multipart/form-data"]["schema"]["required"] == ["image", "prompt"]
    for path, operations in document["paths"].items():
        if not path.startswith(("/v1/images/", "/v1/models")):
            continue
        for method in operations.values():
            for status, response in method["responses"].items():
                if status != "200":
                    schema = response["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/OpenaiErrorAnswer"}


def test_there_is_no_answer_that_is_never_sent(document: Any) -> None:
    jobs = ("/v1/requests/", "/v2/requests/")
    others = {name: path for name, path in document["paths"].items() if not name.startswith(jobs)}
    assert "422" not in str(others)
    for path in document["paths"].keys() - others.keys():
        for operation in document["paths"][path].values():
            failed = operation["responses"].get("422", {"description": "It failed"})
            assert failed["description"].startswith("It failed")
