"""RSpace's error answers: the eight fields of ApiError, their codes, and the page shown instead of them.

It decides nothing; endpoints raise `Refusal` and the dialect turns it into an answer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flows.demo.message import Response, json_response, web_page

_NAMES = {
    400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED",
    422: "UNPROCESSABLE_ENTITY", 429: "TOO_MANY_REQUESTS", 500: "INTERNAL_SERVER_ERROR", 502: "BAD_GATEWAY",
    503: "SERVICE_UNAVAILABLE", 504: "GATEWAY_TIMEOUT",
}  # fmt: skip
# the usual internalCode of a status
_CODES = {400: 40002, 401: 40101, 403: 50301, 404: 50301, 405: 40501, 422: 42201, 429: 42901}
_ERRORS = {
    40101: "Authorisation error", 50301: "", 42901: "", 50001: "General server error", 50002: "I/O error",
    50004: "Export batch job launch failure",
}  # fmt: skip


class Refusal(Exception):
    """An endpoint's refusal. `code` is RSpace's internalCode; its text is localised, so clients key on codes."""

    def __init__(
        self, status: int, code: int, message: str, *, errors: list[str] | None = None, data: Any = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.errors = [_ERRORS.get(code, message)] if errors is None else errors
        self.data = data


def unauthorized(message: str) -> Refusal:
    """Bad keys and every permission refusal alike: RSpace answers 401 where others use 403 or 404."""
    return Refusal(401, 40101, message)


def plain_refusal(status: int, message: str) -> Refusal:
    """A status chosen by a switch, with the code that usually comes with it; one that is not known becomes 500."""
    known = status if status in _NAMES else 500
    return Refusal(known, _CODES.get(known, 50001), message)


def invalid(problems: list[tuple[str, Any, str]], object_name: str) -> Refusal:
    """400 from bean validation; `problems` are (field, rejected value, message)."""
    details = [
        {"field": name, "rejectedValue": value, "objectName": object_name, "message": message}
        for name, value, message in problems
    ]
    errors = [f"{name}: {message}" for name, _, message in problems]
    data = {"validationErrors": details}
    return Refusal(400, 40002, f"Errors detected: {len(problems)}", errors=errors, data=data)


def api_error(refusal: Refusal, now: datetime) -> dict[str, Any]:
    return {
        "status": _NAMES[refusal.status],
        "httpCode": refusal.status,
        "internalCode": refusal.code,
        "message": refusal.message,
        "messageCode": None,
        "errors": refusal.errors,
        "iso8601Timestamp": f"{now:%Y-%m-%dT%H:%M:%S.%f}Z",
        "data": refusal.data,
    }


def error_response(refusal: Refusal, accept: str, now: datetime) -> Response:
    """With exactly this Accept header the JSON cannot be written, and the container's own page is sent."""
    if accept.strip() == "application/octet-stream":
        return web_page(500, "HTTP Status 500 – Internal Server Error")
    return json_response(api_error(refusal, now), refusal.status)
