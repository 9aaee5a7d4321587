"""Error bodies and the HTTP status that belongs to each code ("API status codes")."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from ..half import Refusal

_SPECIAL = {
    0: 503, 1000: 429, 4006: 403, 5008: 403, 5009: 403, 5010: 503, 5011: 403, 5014: 403, 5026: 404, 5030: 409,
    5032: 403, 5034: 409, 7007: 403, 7008: 403, 7026: 403, 9003: 403, 9004: 403, 9005: 403, 9006: 403, 9007: 404,
    9008: 404, 9009: 404, 9010: 409, 9020: 403, 9026: 403, 9027: 403, 9069: 409, 9100: 503, 9101: 403, 9102: 403,
    9103: 403, 9104: 404, 9105: 404, 9106: 404, 9107: 409, 9108: 409, 9109: 404, 57039: 404, 90001: 401, 90002: 403,
    90003: 404, 90004: 503, 90005: 503, 90006: 405, 90007: 409, 90008: 415, 90009: 500,
}  # fmt: skip
_BY_ENDING = {0: 503, 1: 403, 2: 404, 3: 409}


def status_of(code: int) -> int:
    """HTTP status of a code; most families follow one pattern, the exceptions are listed."""
    if code in _SPECIAL:
        return _SPECIAL[code]
    return _BY_ENDING.get(code % 1000, 400) if code < 9000 else 400


def problem(code: int, message: str) -> dict[str, Any]:
    """An error body, as it stands in an answer, in a bulk item or in a job."""
    more = f"http://docs.sevenbridges.com/docs/api-status-codes#{code}"
    return {"status": status_of(code), "code": code, "message": message, "more_info": more}


class ApiError(Refusal):
    """Answer with the error ``code``; inside a bulk call it becomes the error of one item."""

    def __init__(self, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        self.code = code
        self.problem = problem(code, message)
        super().__init__(JSONResponse(self.problem, self.problem["status"], headers))
