"""The HTTP server of a trained model: a page, and JSON endpoints."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from galaxymorph import __version__
from galaxymorph.base import BadInput, one_line, setting
from galaxymorph.images import NoContent
from galaxymorph.learn import Run, fit_warnings
from galaxymorph.predict import is_run
from galaxymorph.predict.predictors.loading import read_recipe
from galaxymorph.report.server.addresses import LOOPBACK, image_at
from galaxymorph.report.server.answers import (
    ServedModel,
    Upload,
    as_table,
    galaxy_of,
    load_model,
    model_title,
    uploads_of,
)
from galaxymorph.report.server.markup import render

# Largest size of an image (Galaxy Zoo's have 20 kB), and of a request with several.
MAX_BYTES, MAX_REQUEST = 25_000_000, 100_000_000
MAX_IMAGES = 200
# Galaxies that /similar lists at most, each with its image.
MAX_SIMILAR = 200
# Seconds within which a client sends more data, and the model is loaded.
TIMEOUT = 20
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
Warnings = Sequence[Mapping[str, str]]
# The name of an image without one, in messages.
UNNAMED = "image"
AS_FILE = "send a file with curl -F image=@galaxy.jpg, an address with " + (
    "-H 'Content-Type: application/json'"
)


class ModelServer:
    """A server that listens from the start, and answers once its model is loaded."""

    def __init__(
        self,
        title: str,
        load: Callable[[], ServedModel],
        host: str,
        port: int,
        warnings: Warnings = (),
        lists_similar: bool = False,
        bands: Sequence[str] = (),
    ):
        """Bind an address.

        Args:
            title: of the page.
            load: returns the model.
            host: to listen at.
            port: 0 for any that is free.
            warnings: of the model's fit, see `judge.fit_warnings`.
            lists_similar: whether the page asks for similar galaxies of a catalogue.
            bands: of flux that the model takes, none of pictures.

        Raises:
            BadInput: the address can't be bound.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            # The usual queue of five is too short for a page of fifty images.
            self._socket = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            raise BadInput(
                f"{host}:{port}: the address can't be used ({error.strerror})",
                f"choose another {setting('port')}",
            ) from None
        name = f"[{host}]" if ":" in host else host
        self.address = f"http://{name}:{self._socket.getsockname()[1]}/"
        self._load = load
        self._loading: Future[ServedModel] = Future()
        config = uvicorn.Config(
            make_app(title, self._loading, host, self.address, warnings, lists_similar, bands),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            headers=[("Server", f"galaxymorph/{__version__}")],
            timeout_keep_alive=TIMEOUT,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Load the model while requests are taken, and answer until stopped.

        Raises:
            BadInput: the model can't be loaded.
        """
        Thread(target=self._fill, daemon=True).start()
        self._server.run(sockets=[self._socket])
        if self._loading.done():
            self._loading.result()

    def start(self) -> None:
        """Load the model, and answer in a thread, which ends with the process or by `stop`.

        Raises:
            BadInput: the model can't be loaded.
        """
        self._thread = Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        self._fill()
        self._loading.result()

    def wait(self) -> None:
        """Wait until a server that was started is stopped."""
        self._thread.join()

    def stop(self) -> None:
        """Stop answering; may be called from another thread."""
        self._server.should_exit = True

    def __repr__(self) -> str:
        return f"<ModelServer {self.address}>"

    def _repr_html_(self) -> str:
        """Return a link for a notebook's cell."""
        return f"<a href='{self.address}' target='_blank'>{self.address}</a>"

    def _fill(self) -> None:
        try:
            self._loading.set_result(self._load())
        except BaseException as error:
            # Raised again by `run` or `start`.
            self._loading.set_exception(error)
            self.stop()


def open_server(
    run: Path,
    host: str,
    port: int,
    stretch: str | None,
    bands: str | None,
    device: str,
    similar: Path | None = None,
) -> ModelServer:
    """Return the server of a run's model, with its address bound; `run` or `start` serves it.

    Args:
        run: a trained run's folder, or a safetensors file.
        host: to listen at.
        port: 0 for any that is free.
        stretch: of FITS images, in place of the one that the model is trained on.
        bands: of FITS images, likewise.
        device: on which the network runs.
        similar: folder of the model's predictions with embeddings, which /similar searches.

    Raises:
        BadInput: the address can't be bound.
    """

    def load() -> ServedModel:
        if device != "auto":
            from galaxymorph.learn import use_device

            use_device(device)
        return load_model(run, stretch, bands, device in ("auto", "cpu"), similar)

    if similar is not None:
        from galaxymorph.predict.embedded_catalogue import open_embedded

        # A wrong folder is refused before the address is announced.
        open_embedded(similar)
    is_served = is_run(run) or run.suffix == ".safetensors"
    of_flux = read_recipe(run).flux_bands if is_served else ()
    warnings = fit_warnings(Run(run)) if is_run(run) else ()
    return ModelServer(model_title(run), load, host, port, warnings, similar is not None, of_flux)


class _Protocol(H11Protocol):
    """HTTP that refuses malformed requests in JSON."""

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(json.dumps({"error": msg}))


class _InMemory(MultiPartParser):
    """A form whose files stay in memory."""

    spool_max_size = MAX_REQUEST


@dataclass(frozen=True)
class _Endpoints:
    """The handlers of requests.

    Args:
        loading: the future model.
        page: HTML.
        is_local: whether requests come from this machine only, and may name files by address.
        warnings: of the model's fit.
        bands: of flux, see `uploads_of`.
    """

    loading: Future[ServedModel]
    page: str
    is_local: bool
    warnings: Warnings
    bands: Sequence[str]

    async def show(self, request: Request) -> Response:
        """Answer with the page."""
        return HTMLResponse(self.page)

    async def describe(self, request: Request) -> Response:
        """Answer with the OpenAPI description."""
        # Imported here, since pydantic delays the start.
        from galaxymorph.report.server.openapi import describe_server

        model = await _loaded(self.loading)
        return JSONResponse(describe_server(model, MAX_BYTES, MAX_IMAGES, self.warnings))

    async def predict(self, request: Request) -> Response:
        """Answer with the predictions of the images that are sent, in JSON or CSV."""
        uploads = await self._uploads(request)
        model = await _loaded(self.loading)
        as_csv = "text/csv" in request.headers.get("Accept", "")
        if len(uploads) == 1 and not as_csv:
            return JSONResponse(await run_in_threadpool(model.predict, uploads[0]))
        answers = [
            (upload.name, await run_in_threadpool(_prediction_or_error, model, upload))
            for upload in uploads
        ]
        if as_csv:
            return Response(as_table(model, answers), media_type="text/csv")
        images = [
            {"galaxy": galaxy_of(name, self.bands), "image": name, **answer}
            for name, answer in answers
        ]
        return JSONResponse({"images": images})

    async def explain(self, request: Request) -> Response:
        """Answer with the explanation of the image that is sent."""
        uploads = await self._uploads(request)
        if len(uploads) > 1:
            raise HTTPException(400, "/explain accepts one image per request")
        model = await _loaded(self.loading)
        return JSONResponse(await run_in_threadpool(model.explain, uploads[0]))

    async def similar(self, request: Request) -> Response:
        """Answer with the galaxies of the catalogue that are most like the image that is sent."""
        uploads = await self._uploads(request)
        if len(uploads) > 1:
            raise HTTPException(400, "/similar accepts one image per request")
        text = request.query_params.get("k", "10")
        if not (text.isdecimal() and 1 <= int(text) <= MAX_SIMILAR):
            raise HTTPException(400, f"k={text}: give a number from 1 to {MAX_SIMILAR}")
        model = await _loaded(self.loading)
        if model.catalogue is None:
            raise HTTPException(
                404, f"no catalogue to search: start the server with {setting('similar')}"
            )
        return JSONResponse(await run_in_threadpool(model.similar, uploads[0], int(text)))

    async def _uploads(self, request: Request) -> list[Upload]:
        return uploads_of(await _sent(request, self.is_local), self.bands)

    async def guard(self, request: Request, proceed: RequestResponseEndpoint) -> Response:
        """Refuse requests that another site makes a browser on this machine send."""
        if self.is_local and (why := _foreign(request)):
            response = _refusal(403, {"error": why})
        else:
            response = await proceed(request)
        response.headers.update(HEADERS)
        return response


def make_app(
    title: str,
    loading: Future[ServedModel],
    host: str,
    address: str,
    warnings: Warnings = (),
    lists_similar: bool = False,
    bands: Sequence[str] = (),
) -> Starlette:
    """Return the application.

    Args:
        title: of the page.
        loading: the future model.
        host: on which it listens; files by address are accepted on this machine's alone.
        address: for the page.
        warnings: of the model's fit, see `judge.fit_warnings`.
        lists_similar: whether the page asks for similar galaxies of a catalogue.
        bands: of flux that the model takes, none of pictures.
    """
    page = render(
        "serve.html",
        title=title,
        address=address,
        megabytes=MAX_BYTES // 1_000_000,
        warnings=warnings,
        lists_similar=lists_similar,
        bands=bands,
    )
    endpoints = _Endpoints(loading, page, host in LOOPBACK, warnings, bands)
    return Starlette(
        routes=[
            Route("/", endpoints.show),
            Route("/openapi.json", endpoints.describe),
            Route("/predict", endpoints.predict, methods=["POST"]),
            Route("/explain", endpoints.explain, methods=["POST"]),
            Route("/similar", endpoints.similar, methods=["POST"]),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=endpoints.guard)],
        exception_handlers={HTTPException: _refuse, BadInput: _refuse, Exception: _refuse},
    )


def _foreign(request: Request) -> str:
    """Return why a request is refused as another site's, empty if it isn't."""
    for header in ("Host", "Origin"):
        value = request.headers.get(header)
        if value is None:
            continue
        try:
            name = urlsplit(value if "//" in value else f"//{value}").hostname
        except ValueError:
            name = None
        if name not in LOOPBACK:
            return f"{header} {value!r} isn't this machine"
    return ""


async def _loaded(loading: Future[ServedModel]) -> ServedModel:
    """Return the model once it is loaded."""
    waiting = asyncio.shield(asyncio.wrap_future(loading))
    try:
        return await asyncio.wait_for(waiting, TIMEOUT)
    except asyncio.TimeoutError:
        raise HTTPException(
            503, "the model is still being loaded", headers={"Retry-After": "5"}
        ) from None
    except BadInput as error:
        raise HTTPException(503, str(error)) from None


async def _sent(request: Request, may_fetch: bool) -> list[tuple[str, bytes]]:
    """Return the names and bytes of a request's files, sent or at an address of this machine."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _files(request)
    data = b"".join([part async for part in _body(request, MAX_BYTES)])
    if kind == JSON:
        return [await _fetched(data, may_fetch)]
    if kind in ("", FORM) and data.lstrip()[:4].startswith((b"{", b"url=")):
        raise HTTPException(415, f"this is JSON or a form, not an image: {AS_FILE}")
    return [(UNNAMED, data)]


async def _body(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """Yield a request's body; refuse one that is too long or too slow."""
    too_long = HTTPException(413, f"over {most:,} bytes; make a cutout")
    length = request.headers.get("Content-Length", "0")
    if length.isdecimal() and int(length) > most:
        raise too_long
    stream, size = aiter(request.stream()), 0
    while True:
        try:
            part = await asyncio.wait_for(anext(stream), TIMEOUT)
        except StopAsyncIteration:
            return
        except ClientDisconnect:
            raise HTTPException(400, "the request body ended early") from None
        except asyncio.TimeoutError:
            raise HTTPException(408, f"no data arrived for {TIMEOUT} seconds") from None
        size += len(part)
        if size > most:
            raise too_long
        yield part


async def _files(request: Request) -> list[tuple[str, bytes]]:
    """Return the names and bytes of a form's files."""
    parser = _InMemory(
        request.headers, _body(request, MAX_REQUEST), max_files=MAX_IMAGES, max_fields=MAX_IMAGES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from None
    parts = [value for _, value in form.multi_items()]
    files = [part for part in parts if not isinstance(part, str)]
    if not files or len(files) < len(parts):
        raise HTTPException(400, "a form without a file: write -F image=@galaxy.jpg, with the @")
    sent = [(file.filename or UNNAMED, await file.read()) for file in files]
    for name, data in sent:
        if len(data) > MAX_BYTES:
            raise HTTPException(413, f"{name}: over {MAX_BYTES:,} bytes; make a cutout")
    return sent


async def _fetched(body: bytes, may_fetch: bool) -> tuple[str, bytes]:
    """Return the name and bytes of the image at the address in a JSON body."""
    if not may_fetch:
        raise HTTPException(
            403, "images by address are accepted only if the server listens on this machine alone"
        )
    try:
        address = json.loads(body)["url"]
    except (ValueError, TypeError, KeyError, RecursionError):
        address = None
    if not isinstance(address, str):
        raise HTTPException(400, 'give the address: {"url": "file:///…"}')
    data = await run_in_threadpool(image_at, address, MAX_BYTES)
    return address.rpartition("/")[2] or UNNAMED, data


def _prediction_or_error(model: ServedModel, upload: Upload) -> Mapping[str, Any]:
    try:
        return model.predict(upload)
    except BadInput as error:
        return _words(error)


def _words(error: Exception) -> dict[str, str]:
    words = {"error": one_line(str(getattr(error, "detail", error)))}
    return words | ({"status": error.status} if isinstance(error, NoContent) else {})


async def _refuse(request: Request, error: Exception) -> Response:
    words, status = _words(error), getattr(error, "status_code", 500)
    if isinstance(error, BadInput):
        status = 422
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == FORM and not isinstance(error, NoContent):
            # `curl -d @galaxy.jpg` removes line breaks.
            words["error"] += f"; {AS_FILE}"
    if status == 404 and request.url.path != "/similar":
        words["error"] = "there are /, /openapi.json and the addresses that it lists"
    return _refusal(status, words, getattr(error, "headers", None))


def _refusal(status: int, words: dict[str, str], headers: dict[str, str] | None = None) -> Response:
    headers = dict(headers or {})
    if "Allow" in headers:
        # Starlette's order is that of a set.
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    return JSONResponse(words, status, headers)
