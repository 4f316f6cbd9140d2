"""The documentation of the API, made from the same tables as the API itself.

The attributes become a JSON schema and a Markdown table, the error families become the statuses of
each operation.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from photogram.api.answers import ErrorAnswer
from photogram.api.attributes import ATTRIBUTES, Attribute, Value

_MEANINGS = {
    400: "The request is wrong: malformed JSON, a missing prompt, a wrong type, out of range.",
    401: "No key, or one that is unknown, expired or revoked.",
    403: "The key does not have this right.",
    404: "There is no such thing here, or it is another account's.",
    406: "Not enough credits.",
    408: "The body did not arrive in time.",
    409: "Something is in the way: it has the same name, or is still under way.",
    413: "The body is too large.",
    415: "The body is neither JSON nor a form.",
    429: "Too many requests at once with this account; `Retry-After` says when to try again.",
    431: "The headers are too large.",
    500: "The model failed on this request; it was not billed.",
    503: "Loading, full, or draining; `Retry-After` says when to try again.",
    504: "The deadline passed; the request was cancelled and not billed.",
}

_ADAPTER = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "scale": {"type": "number", "minimum": 0, "maximum": 2, "default": 1},
    },
    "additionalProperties": False,
}


def error_responses(
    *statuses: int, model: type[BaseModel] = ErrorAnswer
) -> dict[int | str, dict[str, Any]]:
    """Descriptions of an operation's error answers, which have the shape of `model`.

    What needs a key needs one with a right.
    """
    told = {*statuses, 403} if 401 in statuses else set(statuses)
    return {status: {"model": model, "description": _MEANINGS[status]} for status in sorted(told)}


def request_schema(attributes: Sequence[Attribute] = ATTRIBUTES) -> dict[str, Any]:
    """The JSON schema of a request, made from a table of attributes."""
    properties = {}
    for attribute in attributes:
        schema: dict[str, Any] = {"description": attribute.note}
        match attribute.kind:
            case "text":
                schema |= {
                    "type": "string",
                    "minLength": attribute.minimum,
                    "maxLength": attribute.maximum,
                }
            case "choice":
                schema |= {"type": "string"}
                if attribute.choices:
                    schema |= {"enum": [*attribute.choices, *attribute.synonyms]}
            case "flag":
                schema |= {"type": "boolean"}
            case "list":
                schema |= {"type": "array", "maxItems": attribute.maximum, "items": _ADAPTER}
            case "picture":
                schema |= {"type": "string"}
            case "integer" | "number":
                schema |= {
                    "type": attribute.kind,
                    "minimum": attribute.minimum,
                    "maximum": attribute.maximum,
                }
        if attribute.default is not None and attribute.kind != "picture":
            schema["default"] = attribute.default
        properties[attribute.name] = schema
    required = [attribute.name for attribute in attributes if attribute.default is None]
    return {"type": "object", "required": required, "properties": properties}


def describe_parameters(place: str, *names: str) -> dict[str, Any]:
    """Parameters of an operation, in its ``path`` or ``query``.

    Not arguments of the functions: FastAPI would announce a 422 for them, which is never sent.
    """
    return {
        "parameters": [
            {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
            for name in names
        ]
    }


def attribute_table(attributes: Sequence[Attribute] = ATTRIBUTES) -> str:
    """A table of attributes in Markdown, as ``docs/api.md`` shows it."""
    lines = ["| attribute | type | default | values | notes | price |", "|---|---|---|---|---|---|"]
    for each in attributes:
        default = "required" if each.default is None else f"`{_json_word(each.default)}`"
        default = "none" if each.kind == "picture" and each.default is not None else default
        lines.append(
            f"| `{each.name}` | {each.kind} | {default} | {each.wanted} | {each.note} "
            f"| {each.price or 'no effect'} |"
        )
    return "\n".join(lines)


def _json_word(value: Value) -> str:
    if value == ():
        return "[]"
    return str(value).lower() if isinstance(value, bool) else str(value)
