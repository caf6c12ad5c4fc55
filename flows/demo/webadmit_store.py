"""The object store that WebAdMIT's links point to, on a host of its own: S3, as strict about a link as S3 is.

A link's life is judged when the request begins: a download that runs goes on. Whatever else is sent along (a key,
a type, another verb) is what a careless client does, and is answered as S3 does, or remembered.
"""

from __future__ import annotations

import hashlib
import html
import re
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import parse_qs

from flows.demo.message import Request, Response
from flows.demo.webadmit_links import Asked, expires, fits, string_to_sign
from flows.demo.webadmit_runs import Run, remake
from flows.demo.webadmit_world import Admissions

_CODES = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}
_MESSAGES = {
    "AccessDenied": "Access Denied",
    "NoSuchKey": "The specified key does not exist.",
    "InternalError": "We encountered an internal error. Please try again.",
    "SlowDown": "Please reduce your request rate.",
    "SignatureDoesNotMatch": "The request signature we calculated does not match the signature you provided. "
    "Check your key and signing method.",
    "InvalidRange": "The requested range is not satisfiable",
}
_PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Sign in to the network</body></html>\n"


def handle(world: Admissions, request: Request) -> Response:
    """One request, and what becomes of it."""
    if key := request.headers.get("x-api-key", ""):
        world.leaked.append(next((person for person, own in world.keys.items() if own == key), "?"))
    if request.query and f"{request.path}?{request.query}" not in world.issued:
        world.links_altered += 1
    answer = _answer(world, request)
    answer.headers |= {"x-amz-request-id": "4442587FB7D0A2F9", "x-amz-id-2": "demo"}
    return answer


def _answer(world: Admissions, request: Request) -> Response:
    now = world.server_now()
    if given := request.headers.get("authorization"):
        named = f"<ArgumentName>Authorization</ArgumentName><ArgumentValue>{html.escape(given)}</ArgumentValue>"
        return _error(400, "InvalidArgument", named, message="Only one auth mechanism allowed")
    until = expires(request.query)
    if until is None:
        return _error(403, "AccessDenied")
    if now >= until:
        told = f"<Expires>{_iso(until)}</Expires><ServerTime>{_iso(now)}</ServerTime>"
        return _error(403, "AccessDenied", told, message="Request has expired")
    asked = Asked(request.method, request.path, request.query, request.headers)
    if not fits(asked):
        return _error(
            403, "SignatureDoesNotMatch", f"<StringToSign>{html.escape(string_to_sign(asked))}</StringToSign>"
        )
    found = world.find(request.path.removeprefix("/"))
    if found is None:
        return _error(404, "NoSuchKey")
    run, stored = found
    if status := world.faults.take("store_status", run.target):
        return _error(status, _CODES.get(status, "InternalError"))
    body = world.body(run, stored)
    answer = _object(world, request, run, body)
    if world.faults.take("object_changes", run.target):
        remake(run)
    return answer


def _object(world: Admissions, request: Request, run: Run, body: bytes) -> Response:
    faults = world.faults
    query = parse_qs(request.query)
    kind = query.get("response-content-type", ["binary/octet-stream"])[0]
    if page := faults.take("store_page", run.target):
        return Response(200, _PAGE, "text/html") if page == "html" else _error(200, "InternalError")
    tag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if faults.peek("parts_etag", run.target):
        tag += "-2"
    modified = format_datetime(run.ends_at.replace(microsecond=0), usegmt=True)
    answer = Response(200, body, kind, {"ETag": f'"{tag}"', "Last-Modified": modified, "Accept-Ranges": "bytes"})
    if named := query.get("response-content-disposition"):
        answer.headers["Content-Disposition"] = named[0].encode("latin-1", "replace").decode("latin-1")
    wanted = request.headers.get("range", "")
    valid = request.headers.get("if-range", "") in ("", f'"{tag}"', modified)
    if wanted and valid and not faults.take("no_range", run.target):
        answer = _part(answer, wanted)
    if answer.status >= 400:
        return answer
    answer.cut_after = faults.take("cut_after", run.target) or None
    if off := faults.take("length_off", run.target):
        answer.length = max(1, len(answer.body) + off)
    elif faults.take("no_length", run.target):
        answer.length = 0
    if drip_s := faults.take("drip_s", run.target):
        answer.pause = lambda: world.wait(drip_s)
    return answer


def _part(whole: Response, wanted: str) -> Response:
    """One range of bytes; what is none, or several, gets everything."""
    size = len(whole.body)
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
    if not found or found[0] == "bytes=-":
        return whole
    if found[1]:
        first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
    else:
        first, last = max(0, size - int(found[2])), size - 1
    if first >= size or (found[2] and found[1] and int(found[2]) < first):
        answer = _error(416, "InvalidRange")
        answer.headers["Content-Range"] = f"bytes */{size}"
        return answer
    headers = whole.headers | {"Content-Range": f"bytes {first}-{last}/{size}"}
    return Response(206, whole.body[first : last + 1], whole.content_type, headers)


def _error(status: int, code: str, told: str = "", *, message: str = "") -> Response:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    text = html.escape(message or _MESSAGES[code])
    inner = f"<Code>{code}</Code><Message>{text}</Message>{told}"
    body = f"{head}\n<Error>{inner}<RequestId>4442587FB7D0A2F9</RequestId><HostId>demo</HostId></Error>"
    return Response(status, body.encode(), "application/xml")


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
