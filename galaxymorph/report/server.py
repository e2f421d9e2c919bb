"""A trained model as a small web page of this machine, with a JSON endpoint beside it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from galaxymorph import __version__
from galaxymorph.base import BadInput, one_line
from galaxymorph.images import NO_CONTENT, NoContent, Rendering, as_image
from galaxymorph.judge import EMPTY, Calibrator, calibrated_coverage, calibrated_mean, sets_of
from galaxymorph.learn import Recipe, Run, deviation_columns, predicted_columns, target_of
from galaxymorph.predict import Looker, load_looker, load_predictor
from galaxymorph.report.addresses import image_at
from galaxymorph.report.page import render
from galaxymorph.report.pictures import frame_uri, thumbnail
from galaxymorph.zoo import deviations, likeliest_walk, to_conditional

# Of an image as it is sent; Galaxy Zoo's have 20 kB.
MAX_BYTES = 25_000_000
# Seconds that a client may be silent.
PATIENCE = 20
# Of what the model sees, and of the galaxies alike, in pixels.
SEEN_SIDE, LIKE_SIDE = 320, 96
# Images decoded at once: each may take 120 MB.
AT_ONCE = 2
# What is asked of a model where.
ASKED = {"/predict": "predict", "/explain": "explain"}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Refusal(Exception):
    """A request that isn't answered: an HTTP status, and why."""

    def __init__(self, status: HTTPStatus, why: str):
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Model:
    """A run's predictor; networks are asked one image at a time, images decoded two at a time."""

    name: str
    recipe: Recipe
    classes: list[str]
    each_output: Callable[[list[np.ndarray], Callable], np.ndarray]
    calibrators: list[Calibrator] | None = None
    sets: Callable[[np.ndarray], list[str]] | None = None
    looker: Looker | None = None
    # That of the galaxies of its fit, which are shown beside an image.
    known: Rendering = Rendering()
    asking: threading.Lock = field(default_factory=threading.Lock)
    decoding: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(AT_ONCE))

    def predict(self, data: bytes) -> dict:
        """Return what the model says of an image's bytes, as JSON takes it.

        Raises:
            BadInput: they are no image that it can use.
        """
        with self.decoding:
            pixels = np.array(as_image(data, self.recipe.rendering))
            with self.asking:
                each = self.each_output([pixels], lambda number: None)
        answer = said(calibrated_mean(each, self.calibrators)[0], self.recipe, self.classes)
        if self.sets is None:
            return answer
        words = self.sets(each)[0]
        return answer | {"set": [] if words == EMPTY else words.split("|")}

    def explain(self, data: bytes) -> dict:
        """Return the evidence for the first model's answer, and the galaxies most like the image.

        Raises:
            BadInput: the bytes are no image that it can use.
        """
        with self.decoding:
            pixels = np.array(as_image(data, self.recipe.rendering))
            with self.asking:
                look = self.looker.look(pixels)
            likes = [
                {
                    "galaxy": like.galaxy,
                    "label": like.label,
                    "distance": round(like.distance, 4),
                    "image": thumbnail(like.image, self.recipe.crop, LIKE_SIDE, self.known),
                }
                for like in look.likes
            ]
        seen = frame_uri(Image.fromarray(pixels), self.recipe.crop, SEEN_SIDE)
        found = {"answer": look.answer, "image": seen, "similar": likes}
        if look.evidence is not None:
            found["evidence"] = (look.evidence / 255).round(3).tolist()
        return found


def said(found: np.ndarray, recipe: Recipe, classes: list[str]) -> dict:
    """Return a prediction in words: `predicted` and `classes`, or of a tree its likeliest walk.

    Args:
        found: of one image, shape (outputs,).
        recipe: of the model.
        classes: in order.
    """
    tree = target_of(recipe).tree
    columns = predicted_columns(recipe, classes)
    means, squares = found[: len(columns)], found[len(columns) :]
    answers = _by_name(columns, means)
    if tree is None:
        shares = {name: answers[f"p_{name}"] for name in classes}
        return {"predicted": max(shares, key=shares.get), "classes": shares}
    pairs = [(question, answer) for question in tree.questions for answer in question.answers]
    fractions = means[None].astype(float)
    of_asked = to_conditional(tree, fractions)[0]
    walk = [
        {
            "question": pairs[at][0].asks,
            "answer": pairs[at][1].says,
            "of_those_asked": round(float(of_asked[at]), 6),
            "of_all": round(float(means[at]), 6),
        }
        for at in likeliest_walk(tree, fractions[0])
    ]
    if not len(squares):
        return {"walk": walk, "answers": answers}
    spread = _by_name(columns, deviations(means, squares))
    return {"walk": walk, "answers": answers, "standard_deviations": spread}


def _by_name(names: list[str], values: np.ndarray) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in zip(names, values, strict=True)}


def load_model(run: Path, stretch: str | None = None, bands: str | None = None) -> Model:
    """Load a trained run's model; once the run is calibrated, with its prediction sets.

    Args:
        run: its folder.
        stretch: of FITS images that are sent, in place of the one that the model is trained on.
        bands: likewise.

    Raises:
        BadInput: not a finished run, or an unknown stretch.
    """
    found = load_predictor(run, stretch=stretch, bands=bands)
    whole = Run(run)
    coverage = calibrated_coverage(whole)
    return Model(
        run.resolve().name,
        found.recipe,
        list(found.classes),
        found.each_output,
        found.calibrators,
        partial(sets_of, whole, coverage=coverage) if coverage else None,
        load_looker(whole),
        whole.recipe.rendering,
    )


def make_server(model: Model, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server that isn't running yet.

    Args:
        model: that answers.
        host: to bind to.
        port: 0 for any that is free.

    Raises:
        BadInput: the address can't be bound.
    """
    page = render("serve.html", title=model.name, megabytes=MAX_BYTES // 1_000_000).encode()
    pages = {
        "/": ("text/html; charset=utf-8", page),
        "/openapi.json": ("application/json", json.dumps(openapi(model)).encode()),
    }
    handler = type("Handler", (_Handler,), {"model": model, "pages": pages, "host": host})
    try:
        return _Server((host, port), handler)
    except OSError as error:
        raise BadInput(
            f"{host}:{port}: can't be bound ({error.strerror})", "choose another --port"
        ) from None


class _Server(ThreadingHTTPServer):
    # The standard five are reset by the kernel when a page of fifty images is sent at once.
    request_queue_size = 128
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    model: Model
    pages: dict[str, tuple[str, bytes]]
    host: str
    server_version = f"galaxymorph/{__version__}"
    timeout = PATIENCE

    def do_GET(self) -> None:  # noqa: N802
        """Answer with the page or the description."""
        self._answer(self._page)

    def do_POST(self) -> None:  # noqa: N802
        """Answer with a prediction, or with what it comes from."""
        self._answer(self._about_image)

    def _answer(self, make: Callable[[], tuple[str, bytes]]) -> None:
        status = HTTPStatus.OK
        try:
            self._require_own()
            kind, body = make()
        except Refusal as refusal:
            status, (kind, body) = refusal.status, _error(refusal)
        except BadInput as error:
            status, (kind, body) = HTTPStatus.UNPROCESSABLE_ENTITY, _error(error)
        except (TimeoutError, ConnectionError):
            self.close_connection = True
            return
        except Exception as error:
            status, (kind, body) = HTTPStatus.INTERNAL_SERVER_ERROR, _error(error)
        self._send(status, kind, body)

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *([("Allow", self._allowed())] if status == HTTPStatus.METHOD_NOT_ALLOWED else []),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer in JSON where the standard library would in HTML: a request that it can't read,
        or a method that isn't here.
        """
        unknown = code == HTTPStatus.NOT_IMPLEMENTED
        status = HTTPStatus(HTTPStatus.METHOD_NOT_ALLOWED if unknown else code)
        self.close_connection = True
        self._send(status, *_error(Exception(status.phrase)))

    def _allowed(self) -> str:
        return "POST" if urlsplit(self.path).path in ASKED else "GET"

    def _require_own(self) -> None:
        """Refuse what another site makes a browser on this machine send."""
        if self.host not in LOOPBACK:
            return
        for header in ("Host", "Origin"):
            value = self.headers.get(header)
            if value is None:
                continue
            name = urlsplit(value if "//" in value else f"//{value}").hostname
            if name not in LOOPBACK:
                raise Refusal(HTTPStatus.FORBIDDEN, f"{header} {value!r} isn't this machine")

    def _page(self) -> tuple[str, bytes]:
        path = urlsplit(self.path).path
        if path in ASKED:
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes POST")
        if path not in self.pages:
            raise Refusal(
                HTTPStatus.NOT_FOUND, "there are /, /openapi.json, POST /predict and POST /explain"
            )
        return self.pages[path]

    def _about_image(self) -> tuple[str, bytes]:
        path = urlsplit(self.path).path
        if path in self.pages:
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes GET")
        answer = getattr(self.model, ASKED[path]) if path in ASKED else None
        if answer is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "there are POST /predict and POST /explain")
        data = self._body()
        if self.headers.get_content_type() == "application/json":
            data = self._fetched(data)
        return "application/json", json.dumps(answer(data)).encode()

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "say with Content-Length how long it is")
        if int(length) > MAX_BYTES:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"over {MAX_BYTES:,} bytes; make a cutout"
            )
        data = self.rfile.read(int(length))
        if len(data) < int(length):
            raise Refusal(HTTPStatus.BAD_REQUEST, "the body ended early")
        return data

    def _fetched(self, body: bytes) -> bytes:
        """Return the image that a body of JSON names by its address."""
        if self.host not in LOOPBACK:
            raise Refusal(
                HTTPStatus.FORBIDDEN, "addresses are looked up only where nobody else can ask"
            )
        try:
            address = json.loads(body)["url"]
        except (ValueError, TypeError, KeyError, RecursionError):
            address = None
        if not isinstance(address, str):
            raise Refusal(HTTPStatus.BAD_REQUEST, 'say where it is: {"url": "file:///…"}')
        return image_at(address, MAX_BYTES)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: what is looked at is nobody else's business."""


def _error(error: Exception) -> tuple[str, bytes]:
    words = {"error": one_line(str(error))}
    if isinstance(error, NoContent):
        words["status"] = error.status
    return "application/json", json.dumps(words).encode()


def openapi(model: Model) -> dict:
    """Return the endpoint's description, OpenAPI 3.1."""
    share = {"type": "number", "minimum": 0, "maximum": 1}
    shares = {"type": "object", "additionalProperties": share}
    step = {
        "type": "object",
        "properties": {
            "question": {"type": "string"},
            "answer": {"type": "string"},
            "of_those_asked": share,
            "of_all": share,
        },
    }
    if target_of(model.recipe).tree is None:
        properties = {"predicted": {"enum": model.classes}, "classes": shares}
        if model.sets:
            properties["set"] = {"type": "array", "items": {"enum": model.classes}}
    else:
        properties = {"walk": {"type": "array", "items": step}, "answers": shares}
        if deviation_columns(model.recipe, model.classes):
            properties["standard_deviations"] = shares
    failed = {
        "description": "why not",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {"type": "string"},
                        "status": {"enum": list(NO_CONTENT)},
                    },
                }
            }
        },
    }
    answer = {"type": "object", "required": list(properties), "properties": properties}
    like = {
        "type": "object",
        "required": ["galaxy", "label", "distance", "image"],
        "properties": {
            "galaxy": {"type": "string"},
            "label": {"type": "string"},
            "distance": {"type": "number", "minimum": 0, "maximum": 2},
            "image": {"type": "string", "description": "a data URI; empty where it has gone"},
        },
    }
    grid = {"type": "array", "items": {"type": "array", "items": share}}
    look = {
        "type": "object",
        "required": ["answer", "image", "similar"],
        "properties": {
            "answer": {"type": "string"},
            "image": {"type": "string", "description": "what the model sees, a data URI"},
            "evidence": {**grid, "description": "Grad-CAM over the frame that the model sees"},
            "similar": {"type": "array", "items": like},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": f"GalaxyMorph: {model.name}", "version": __version__},
        "paths": {
            "/predict": {"post": _operation("Say what an image shows.", answer, failed)},
            "/explain": {"post": _operation("Say what the answer comes from.", look, failed)},
        },
    }


def _operation(summary: str, answer: dict, failed: dict) -> dict:
    """Return an operation that takes an image, or its address on this machine."""
    address = {
        "type": "object",
        "required": ["url"],
        "properties": {"url": {"type": "string", "description": "file:///… or http://localhost…"}},
    }
    return {
        "summary": summary,
        "requestBody": {
            "required": True,
            "description": f"a JPEG, PNG or FITS file of up to {MAX_BYTES:,} bytes",
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                "application/json": {"schema": address},
            },
        },
        "responses": {
            "200": {
                "description": "what the model says",
                "content": {"application/json": {"schema": answer}},
            },
            **dict.fromkeys(("400", "403", "404", "405", "411", "413", "422", "500"), failed),
        },
    }
