"""The description of a served model's endpoints, OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from galaxymorph import __version__
from galaxymorph.images import NO_CONTENT
from galaxymorph.learn import deviation_columns, target_of
from galaxymorph.report.server.answers import ServedModel

SHARE = {"type": "number", "minimum": 0, "maximum": 1}
SHARES = {"type": "object", "additionalProperties": SHARE}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "status": {"enum": [*NO_CONTENT, "unreadable"]}},
}
WALK = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "question": {"type": "string"},
            "answer": {"type": "string"},
            "of_those_asked": SHARE,
            "of_all": SHARE,
        },
    },
}
NEIGHBOUR = {
    "galaxy": {"type": "string"},
    "label": {"type": "string"},
    "distance": {"type": "number", "minimum": 0, "maximum": 2},
    "image": {"type": "string", "description": "a data URI; empty where it has gone"},
}
IMAGE = {"type": "string", "format": "binary"}
ADDRESS = {
    "type": "object",
    "required": ["url"],
    "properties": {"url": {"type": "string", "description": "file:///… or http://localhost…"}},
}
REFUSALS = ("400", "403", "404", "405", "408", "413", "415", "422", "500", "503")


def described(
    model: ServedModel,
    most_bytes: int,
    most_images: int,
    warnings: Sequence[Mapping[str, str]] = (),
) -> dict:
    """Return the description of `POST /predict` and `POST /explain`.

    Args:
        model: that is served.
        most_bytes: of an image.
        most_images: of a request.
        warnings: signs that the model's fit failed, each its `what` and `remedy`.
    """
    prediction = _object(_predicted(model))
    several = {
        "type": "object",
        "required": ["images"],
        "properties": {
            "images": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["galaxy", "image"],
                    "properties": {"galaxy": {"type": "string"}, "image": {"type": "string"}},
                    "anyOf": [prediction, ERROR],
                },
            }
        },
    }
    explanation = _object(
        {
            "answer": {"type": "string"},
            "image": {"type": "string", "description": "what the model sees, a data URI"},
            "similar": {"type": "array", "items": _object(NEIGHBOUR)},
            "alike": {
                "type": "boolean",
                "description": "whether the nearest is nearer than any two galaxies are",
            },
        }
    )
    explanation["properties"] |= {
        "typical_distance": {
            "type": "number",
            "description": "the median distance of any two galaxies of the fit",
        },
        "evidence": {
            "type": "array",
            "items": {"type": "array", "items": SHARE},
            "description": "Grad-CAM over the frame that the model sees",
        },
    }
    one = f"a JPEG, PNG or FITS file of up to {most_bytes:,} bytes"
    predicts = _operation("Predict what images show.", f"{one}, or up to {most_images} of them")
    predicts["responses"]["200"]["content"] = {
        "application/json": {"schema": {"anyOf": [prediction, several]}},
        "text/csv": {"schema": {"type": "string"}},
    }
    explains = _operation("Return what the answer comes from.", one)
    explains["responses"]["200"]["content"] = {"application/json": {"schema": explanation}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"GalaxyMorph: {model.name}",
            "version": __version__,
            # Of fields that the standard doesn't name, it takes those that begin with x-.
            "x-warnings": list(warnings),
        },
        "paths": {"/predict": {"post": predicts}, "/explain": {"post": explains}},
    }


def _object(properties: dict) -> dict:
    return {"type": "object", "required": list(properties), "properties": dict(properties)}


def _predicted(model: ServedModel) -> dict:
    """Return the properties of a prediction."""
    if target_of(model.recipe).tree is None:
        properties = {"predicted": {"enum": model.classes}, "classes": SHARES}
        sets = {"set": {"type": "array", "items": {"enum": model.classes}}}
        return properties | (sets if model.sets else {})
    properties = {"walk": WALK, "answers": SHARES}
    deviations = {"standard_deviations": SHARES}
    return properties | (deviations if deviation_columns(model.recipe, model.classes) else {})


def _operation(summary: str, takes: str) -> dict:
    """Return an operation that takes images, or an image's address on this machine."""
    form = {"type": "object", "properties": {"image": {"type": "array", "items": IMAGE}}}
    refused = {"description": "why not", "content": {"application/json": {"schema": ERROR}}}
    return {
        "summary": summary,
        "requestBody": {
            "required": True,
            "description": takes,
            "content": {
                "application/octet-stream": {"schema": IMAGE},
                "multipart/form-data": {"schema": form},
                "application/json": {"schema": ADDRESS},
            },
        },
        "responses": {"200": {"description": "the answer"}, **dict.fromkeys(REFUSALS, refused)},
    }
