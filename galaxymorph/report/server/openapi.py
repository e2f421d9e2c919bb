"""The description of a served model's endpoints, OpenAPI 3.1, from the types of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from galaxymorph import __version__
from galaxymorph.predict import has_intervals
from galaxymorph.report.server import answer_types as types
from galaxymorph.report.server.answers import ServedModel

REFUSALS = ("400", "403", "404", "405", "408", "413", "415", "422", "500", "503")
Schema: TypeAlias = dict[str, Any]


def describe_server(
    model: ServedModel,
    most_bytes: int,
    most_images: int,
    warnings: Sequence[Mapping[str, str]] = (),
) -> Schema:
    """Return the description of `POST /predict`, `POST /explain` and, if served, `POST /similar`.

    Args:
        model: that is served.
        most_bytes: of an image.
        most_images: of a request.
        warnings: of the model's fit, see `judge.fit_warnings`.
    """
    prediction = _prediction(model)
    item = _schema(types.Image)
    item["anyOf"] = [prediction, _schema(types.Failed)]
    images = {"type": "array", "items": item}
    several = {"type": "object", "required": ["images"], "properties": {"images": images}}
    one = f"a JPEG, PNG or FITS file of up to {most_bytes:,} bytes"
    if bands := model.recipe.flux_bands:
        one = (
            f"FITS of the bands {', '.join(bands)}, one file or one each, {most_bytes:,} bytes each"
        )
    predict = _operation("Predict images.", f"{one}, or up to {most_images} of them")
    predict["responses"]["200"]["content"] = {
        "application/json": {"schema": {"anyOf": [prediction, several]}},
        "text/csv": {"schema": {"type": "string"}},
    }
    explain = _operation("Explain the prediction of one image.", one)
    explain["responses"]["200"]["content"] = _json(_schema(types.ExplanationAnswer))
    paths = {"/predict": {"post": predict}, "/explain": {"post": explain}}
    if model.catalogue is not None:
        similar = _operation("List the galaxies of the catalogue most like an image.", one)
        similar["responses"]["200"]["content"] = _json(_schema(types.SimilarAnswer))
        number = {"type": "integer", "minimum": 1, "default": 10}
        similar["parameters"] = [{"name": "k", "in": "query", "schema": number}]
        paths["/similar"] = {"post": similar}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"GalaxyMorph: {model.name}",
            "version": __version__,
            # Of fields that the standard doesn't name, it takes those that begin with x-.
            "x-warnings": list(warnings),
        },
        "paths": paths,
    }


def _schema(kind: Any) -> Schema:
    """Return the JSON schema of a type, with the schemas that it refers to in their places."""
    schema = TypeAdapter(kind).json_schema()
    definitions = schema.pop("$defs", {})

    def in_place(part: Any) -> Any:
        if isinstance(part, list):
            return [in_place(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return in_place(definitions[part["$ref"].rpartition("/")[2]])
        return {name: in_place(item) for name, item in part.items()}

    return in_place(schema)


def _prediction(model: ServedModel) -> Schema:
    """Return the schema of this model's predictions, all of whose properties are required."""
    schema = _schema(types.ClassPrediction if model.tree is None else types.TreePrediction)
    lacking = set() if model.sets else {"set"}
    lacking |= set() if has_intervals(model.recipe) else {"standard_deviations"}
    properties = {name: of for name, of in schema["properties"].items() if name not in lacking}
    if "predicted" in properties:
        properties["predicted"] = {"enum": list(model.predictor.classes)}
    return schema | {"required": list(properties), "properties": properties}


def _operation(summary: str, takes: str) -> Schema:
    """Return an operation that takes images, or an image's address on this machine."""
    refused = {"description": "why not", "content": _json(_schema(types.Failed))}
    return {
        "summary": summary,
        "requestBody": {
            "required": True,
            "description": takes,
            "content": {
                "application/octet-stream": {"schema": _schema(types.ImageFile)},
                "multipart/form-data": {"schema": _schema(types.Form)},
                **_json(_schema(types.Address)),
            },
        },
        "responses": {"200": {"description": "the answer"}, **dict.fromkeys(REFUSALS, refused)},
    }


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
