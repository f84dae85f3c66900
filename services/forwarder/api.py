"""The desk over HTTP on a Unix socket: only the plugin, which has checked who is asking, can reach it.

A socket file that nobody but the forwarder's user may open needs no port, no password and no firewall rule.
"""

import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from services.common.errors import ServiceUnavailable
from services.forwarder.archive import NotStored
from services.forwarder.desk import Desk
from services.viewer.feedback import to_csv

log = structlog.get_logger()

USER_HEADER = "x-articula-user"
_MAX_BODY = 16 * 1024
_OWNER_ONLY = 0o177

Answer = Callable[[Request], Awaitable[Response]]


def application(desk: Desk, *, hint: Callable[[], None]) -> Starlette:
    """Routes of the desk; ``hint`` is called when there may be work."""

    async def worklist(request: Request) -> Response:
        with contextlib.suppress(ServiceUnavailable, NotStored):
            await desk.refresh()
        etag = f'"{desk.version}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return JSONResponse(desk.worklist(), headers={"ETag": etag, "Cache-Control": "no-cache"})

    async def view(request: Request) -> Response:
        return JSONResponse(await desk.view(request.path_params["study"]))

    async def layer(request: Request) -> Response:
        data = await desk.layer(request.path_params["study"], request.path_params["instance"])
        return Response(data, media_type="application/octet-stream")

    async def say(request: Request) -> Response:
        body = await _json(request)
        return JSONResponse(await desk.say(request.path_params["study"], body, _user(request)))

    async def retry(request: Request) -> Response:
        desk.ask_again(request.path_params["study"], _user(request))
        hint()
        return JSONResponse({"asked": True}, status_code=202)

    async def feedback(_: Request) -> Response:
        headers = {"Content-Disposition": 'attachment; filename="articula-feedback.csv"'}
        return PlainTextResponse(to_csv(desk.everything_said()), media_type="text/csv", headers=headers)

    async def pulse(_: Request) -> Response:
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/pulse", pulse),
            Route("/worklist", _guarded(worklist)),
            Route("/studies/{study}", _guarded(view)),
            Route("/studies/{study}/layers/{instance}", _guarded(layer)),
            Route("/studies/{study}/feedback", _guarded(say), methods=["POST"]),
            Route("/studies/{study}/retry", _guarded(retry), methods=["POST"]),
            Route("/feedback.csv", _guarded(feedback)),
        ]
    )


async def serve_pages(desk: Desk, path: Path, *, hint: Callable[[], None]) -> None:
    """Serve until cancelled."""
    with _listener(path) as listener:
        config = uvicorn.Config(application(desk, hint=hint), log_config=None, access_log=False, lifespan="off")
        await _Server(config).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the forwarder's are the ones that count."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _listener(path: Path) -> Iterator[socket.socket]:
    """A Unix socket at ``path`` that only this user may open; a stale one of a killed forwarder is replaced."""
    path.unlink(missing_ok=True)
    mask = os.umask(_OWNER_ONLY)
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
    finally:
        os.umask(mask)
    try:
        yield listener
    finally:
        listener.close()
        path.unlink(missing_ok=True)


def _guarded(answer: Answer) -> Answer:
    """Errors as status codes with a code the page has words for."""

    async def guarded(request: Request) -> Response:
        try:
            return await answer(request)
        except NotStored:
            return JSONResponse({"code": "NOT_FOUND"}, status_code=404)
        except ValueError as error:  # of ours: it never quotes the study
            return JSONResponse({"code": "INVALID", "message": str(error)}, status_code=422)
        except ServiceUnavailable as error:
            log.warning("page not served", code=error.code)
            return JSONResponse({"code": error.code}, status_code=503)
        except Exception as error:  # noqa: BLE001 - one page must not end the others; its text may quote the study
            log.critical("unexpected error", code=type(error).__name__)
            return JSONResponse({"code": "INTERNAL"}, status_code=500)

    return guarded


async def _json(request: Request) -> object:
    body = await request.body()
    if len(body) > _MAX_BODY:
        message = "the request is too long"
        raise ValueError(message)
    try:
        return json.loads(body)
    except ValueError:
        message = "the request is not JSON"
        raise ValueError(message) from None


def _user(request: Request) -> str:
    return request.headers.get(USER_HEADER, "")[:64] or "unknown"
