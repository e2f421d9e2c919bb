"""The types of a model server's answers, from which the OpenAPI description is made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

Share = Annotated[float, Field(ge=0, le=1)]
DataUri = Annotated[str, Field(description="a data URI; empty if the image no longer exists")]
ImageFile = Annotated[bytes, Field(json_schema_extra={"format": "binary"})]


class Failed(TypedDict):
    """Why a request, or one image of it, has no answer."""

    error: str
    status: NotRequired[Literal["blank", "saturated", "no coverage", "unfamiliar", "unreadable"]]


class ClassPrediction(TypedDict):
    """The class of an image, each class's probability or share, and the prediction set."""

    predicted: str
    classes: dict[str, Share]
    # In CSV the classes are joined by |, and an empty set is `none`.
    set: NotRequired[list[str]]


class Step(TypedDict):
    """An answer on the likeliest walk down the tree, with conditional and cumulative fraction."""

    question: str
    answer: str
    of_those_asked: Share
    of_all: Share


class TreePrediction(TypedDict):
    """The likeliest walk down the tree, and the vote fraction of every answer, by its column."""

    walk: list[Step]
    answers: dict[str, Share]
    standard_deviations: NotRequired[dict[str, Share]]
    # The classes of label schemes, by the scheme's name.
    schemes: NotRequired[dict[str, ClassPrediction]]


class Image(TypedDict):
    """The image that a prediction or an error is of, among several."""

    galaxy: str
    image: str


class SimilarGalaxy(TypedDict):
    """A galaxy of the fit, and how far its embedding is from the image's."""

    galaxy: str
    label: str
    distance: Annotated[float, Field(ge=0, le=2)]
    image: DataUri


class Neighbour(TypedDict):
    """A galaxy of the catalogue, and how far its embedding is from the image's."""

    galaxy: str
    distance: Annotated[float, Field(ge=0, le=2)]
    prediction: Annotated[
        list[str], Field(description="its class, or the likeliest answers down the tree, in words")
    ]
    image: DataUri


class SimilarAnswer(TypedDict):
    """The galaxies of the catalogue most like an image; if it is unfamiliar, none is."""

    status: Literal["ok", "unfamiliar"]
    similar: list[Neighbour]


class ExplanationAnswer(TypedDict):
    """The attribution map of an image's likeliest answer, and the galaxies most like it."""

    answer: str
    image: Annotated[str, Field(description="the model's input, a data URI")]
    similar: list[SimilarGalaxy]
    alike: Annotated[
        bool,
        Field(description="whether the nearest galaxy is nearer than two galaxies usually are"),
    ]
    typical_distance: NotRequired[
        Annotated[float, Field(description="the median distance of two galaxies of the fit")]
    ]
    evidence: NotRequired[
        Annotated[list[list[Share]], Field(description="Grad-CAM on the model's input")]
    ]


class Address(TypedDict):
    """Where an image is on the server's machine."""

    url: Annotated[str, Field(description="file:///… or http://localhost…")]


class Form(TypedDict):
    """A form with files."""

    image: list[ImageFile]
