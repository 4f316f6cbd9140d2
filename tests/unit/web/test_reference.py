from typing import Any

import pytest

from photogram.bootstrap.app import build_app
from photogram.web.reference import write_reference
from tests.unit.api.serving import open_site


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with open_site(tmp_path_factory.mktemp("site") / "data") as site:
        return build_app(site.services).openapi()


def test_every_route_and_shape_is_there_with_every_field(document: Any) -> None:
    page = write_reference(document)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert f"## `{method.upper()} {path}`" in page
            assert operation["summary"] in page
    for name, schema in document["components"]["schemas"].items():
        section = page.partition(f"### {name}\n")[2].partition("### ")[0]
        for field in schema.get("properties", ()):
            assert f"| `{field}` |" in section, f"{name}.{field}"


def test_limits_and_defaults_are_told(document: Any) -> None:
    page = write_reference(document)
    assert "| `steps` | integer, 1 to 50 | `25` |" in page
    assert "| `prompt` | string, 1 to 10000 characters | required |" in page
    assert '| `output_format` | `"webp"`, `"jpg"`, `"png"`' in page


def test_refusals_of_one_shape_share_a_row() -> None:
    shape = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    route = {"summary": "Run", "responses": {"200": {}, "400": shape, "404": shape}}
    page = write_reference({"paths": {"/x": {"get": route}}, "components": {"schemas": {}}})
    assert "| 400, 404 | [Problem](#problem) |" in page
    assert "Needs no key." in page


def test_a_bar_in_a_text_does_not_end_its_cell() -> None:
    field = {"type": "string", "description": "a|b\nc"}
    shapes = {"Shape": {"properties": {"x": field}}}
    page = write_reference({"paths": {}, "components": {"schemas": shapes}})
    assert "| `x` | string |  | a\\|b c |" in page
