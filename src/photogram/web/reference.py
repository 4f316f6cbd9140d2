"""The reference of the API: its OpenAPI document comes in, Markdown goes out.

Every route, parameter, field and answer that the document describes is told, and nothing else: what
the server checks and what this says come from the same tables.

Source: OpenAPI 3.1.0, https://spec.openapis.org/oas/v3.1.0.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

_NOTHING_SAID = "Successful Response"  # FastAPI's own words
_CELL = str.maketrans({"|": "\\|", "\n": " "})


class _Schema(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of a JSON schema."""

    ref: str = msgspec.field(default="", name="$ref")
    type: str = ""
    format: str = ""
    const: object = None
    enum: tuple[object, ...] = ()
    default: object = msgspec.UNSET
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    description: str = ""
    items: "_Schema | None" = None
    any_of: tuple["_Schema", ...] = ()
    properties: dict[str, "_Schema"] = {}
    required: tuple[str, ...] = ()


class _Medium(msgspec.Struct, frozen=True):
    schema: _Schema = _Schema()


class _Body(msgspec.Struct, frozen=True):
    content: dict[str, _Medium] = {}
    description: str = ""


class _Parameter(msgspec.Struct, frozen=True):
    name: str
    place: str = msgspec.field(name="in")
    description: str = ""
    schema: _Schema = _Schema()


class _Operation(msgspec.Struct, frozen=True, rename="camel"):
    responses: dict[str, _Body]
    summary: str = ""
    description: str = ""
    parameters: tuple[_Parameter, ...] = ()
    request_body: _Body | None = None
    security: tuple[dict[str, tuple[str, ...]], ...] = ()


class _Components(msgspec.Struct, frozen=True):
    schemas: dict[str, _Schema]


class _Document(msgspec.Struct, frozen=True):
    paths: dict[str, dict[str, _Operation]]
    components: _Components


def write_reference(document: Mapping[str, object]) -> str:
    """All routes, then all shapes of answers, as Markdown.

    Args:
        document: As ``/openapi.json`` has it.
    """
    api = msgspec.convert(document, _Document)
    lines: list[str] = []
    for path, operations in api.paths.items():
        for method, operation in operations.items():
            lines += ["", f"## `{method.upper()} {path}`", "", *_route(operation)]
    lines += ["", "## Shapes of answers"]
    for name, schema in sorted(api.components.schemas.items()):
        fields = _fields(schema, required="always there")
        lines += ["", f"### {name}", "", schema.description, *fields]
    return "\n".join(lines)


def _route(operation: _Operation) -> Iterator[str]:
    yield f"**{operation.summary}.** {operation.description}"
    yield ""
    yield "Needs a key." if operation.security else "Needs no key."
    if operation.parameters:
        rows = (
            (f"`{each.name}`", each.place, _type(each.schema), each.description)
            for each in operation.parameters
        )
        yield from _table(("parameter", "in", "type", "meaning"), rows)
    if operation.request_body is not None:
        content = operation.request_body.content
        yield from ("", f"The body is {' or '.join(content)}:")
        yield from _fields(next(iter(content.values())).schema, required="required")
    yield from _table(("status", "answer"), _answers(operation.responses))


def _answers(responses: Mapping[str, _Body]) -> Iterator[tuple[str, str]]:
    """What each status means and comes with; refusals of one shape share a row."""
    refusals: dict[str, list[str]] = {}
    for status, answer in responses.items():
        shapes = {_type(each.schema) for each in answer.content.values() if each.schema.ref}
        kinds = (name for name, medium in answer.content.items() if not medium.schema.ref)
        told = ", ".join((*sorted(shapes), *kinds))
        if status >= "400" and told:
            refusals.setdefault(told, []).append(status)
            continue
        words = "" if answer.description == _NOTHING_SAID else answer.description.rstrip(".")
        yield status, ": ".join(filter(None, (words, told)))
    for told, statuses in refusals.items():
        yield ", ".join(sorted(statuses)), told


def _fields(schema: _Schema, required: str) -> Iterator[str]:
    if schema.ref:
        yield from ("", _type(schema))
        return
    rows = []
    for name, field in schema.properties.items():
        otherwise = required if name in schema.required else ""
        default = otherwise if field.default is msgspec.UNSET else _code(field.default)
        rows.append((f"`{name}`", _type(field), default, field.description))
    yield from _table(("field", "type", "default", "meaning"), rows)


def _type(schema: _Schema) -> str:
    """The type in words, with its limits."""
    if schema.ref:
        name = schema.ref.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if schema.any_of:
        return " or ".join(map(_type, schema.any_of))
    if schema.items is not None:
        return f"array of {_type(schema.items)}"
    values = schema.enum or ((schema.const,) if schema.const is not None else ())
    if values:
        return ", ".join(map(_code, values))
    low, high, unit = schema.minimum, schema.maximum, ""
    if schema.max_length is not None:
        low, high, unit = schema.min_length, schema.max_length, " characters"
    limits = f", {low or 0:g} to {high:.16g}{unit}" if high is not None else ""
    return f"{schema.format or schema.type or 'anything'}{limits}"


def _code(value: object) -> str:
    return f"`{msgspec.json.encode(value).decode()}`"


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield from ("", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|")
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(text: str) -> str:
    return text.translate(_CELL)
