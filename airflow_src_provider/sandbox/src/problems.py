"""Refusals of the service and of the gateway in front of it, with the bodies each of them sends."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from ..half import Refusal


def service_body(status: int, message: Any) -> dict[str, Any]:
    return {"code": status, "status": HTTPStatus(status).phrase, "message": message}


def bad_request(*messages: str) -> Refusal:
    return Refusal(JSONResponse(service_body(400, list(messages)), 400))


def html_page(status: int) -> str:
    title = f"{status} {HTTPStatus(status).phrase}"
    return f"<html>\r\n<head><title>{title}</title></head>\r\n<body><h1>{title}</h1></body>\r\n</html>\r\n"


def not_found(form: str = "drf") -> Refusal:
    if form == "html":
        return Refusal(HTMLResponse(html_page(404), 404))
    if form == "service":
        return Refusal(JSONResponse(service_body(404, ["Workspace not found."]), 404))
    return Refusal(JSONResponse({"detail": "Not found."}, 404))


def no_logs() -> Refusal:
    # Here, and only here, `message` is one text and not a list.
    return Refusal(JSONResponse(service_body(404, "No logs available for this workspace."), 404))


def forbidden(form: str, message: str = "You do not have permission to perform this action.") -> Refusal:
    if form == "not_found":
        return not_found()
    body = {"detail": message} if form == "drf" else service_body(403, [message])
    return Refusal(JSONResponse(body, 403))


def queue_full(form: str, retry_after: int | None) -> Refusal:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if form == "text":
        return Refusal(PlainTextResponse("Queue is full", 503, headers))
    if form == "html":
        return Refusal(HTMLResponse(html_page(503), 503, headers))
    return Refusal(JSONResponse(service_body(503, ["Queue is full"]), 503, headers))


def gateway(status: int, error: str) -> Response:
    return JSONResponse({"error": error}, status, {"X-Generator": "tyk.io"})
