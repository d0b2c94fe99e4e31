"""The API's documentation: a page of our own, made of the generated schema, so that it needs no other host."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator

METHODS = ("get", "post", "put", "patch", "delete")


def docs(request: HttpRequest) -> HttpResponse:
    """Every operation with its parameters and answers."""
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return render(request, "api_docs.html", {"info": schema["info"], "operations": operations(schema)})


def operations(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schema's operations in the order of their paths, each with the shapes it takes and answers."""
    return [
        {
            "method": method.upper(),
            "path": path,
            "description": operation.get("description", ""),
            "curl": _curl(method, path, _example(operation.get("requestBody", {}))),
            "parameters": operation.get("parameters", []),
            "body": _shape(schema, _content(operation.get("requestBody", {}))),
            "answers": [
                {
                    "status": status,
                    "description": answer.get("description", ""),
                    "headers": answer.get("headers", {}),
                    "shape": _shape(schema, _content(answer)),
                    "example": _example(answer),
                }
                for status, answer in sorted(operation["responses"].items())
            ],
        }
        for path, methods in sorted(schema["paths"].items())
        for method, operation in methods.items()
        if method in METHODS
    ]


def _content(part: dict[str, Any]) -> dict[str, Any]:
    """The schema of the first media type of a request body or an answer."""
    for content in part.get("content", {}).values():
        found: dict[str, Any] = content.get("schema", {})
        return found
    return {}


def _example(part: dict[str, Any]) -> Any:
    """The first example of a request body or an answer, None without one."""
    for content in part.get("content", {}).values():
        for example in content.get("examples", {}).values():
            return example["value"]
    return None


def _curl(method: str, path: str, body: Any) -> str:
    """A line to try the operation with; {id} and {key} are to be filled in."""
    words = ["curl", *(["-X", method.upper()] if method != "get" else []), '-H "Authorization: Token $KEY"']
    if body is not None:
        words += ['-H "Content-Type: application/json"', f"-d '{json.dumps(body)}'"]
    return " ".join([*words, f'"$AT{path}"'])


def _shape(schema: dict[str, Any], part: dict[str, Any]) -> Any:
    """A JSON example-like value in which each leaf names its type: {"waiting": "integer or null"}."""
    if "$ref" in part:
        name = part["$ref"].rsplit("/", 1)[-1]
        return _shape(schema, schema["components"]["schemas"][name])
    for combined in ("allOf", "oneOf"):
        if combined in part:
            return _shape(schema, part[combined][0])
    if "properties" in part:
        return {name: _shape(schema, value) for name, value in part["properties"].items()}
    if part.get("type") == "array":
        return [_shape(schema, part["items"])]
    if not part:
        return None
    name = str(part.get("format") or part.get("type") or "anything")
    return f"{name} or null" if part.get("nullable") else name
