"""Signed links into the object store, as S3 makes and judges them: query authentication by SigV2 or SigV4.

Pure: text and instants in, text out. Sources: AWS's "Signing and authenticating REST requests" (V2) and
"Authenticating requests: using query parameters" (V4).
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

BUCKET = "webadmit-demo"
_REGION = "us-east-1"
_OVERRIDES = ("response-content-disposition", "response-content-type")


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request a signature covers."""

    method: str
    path: str
    query: str
    headers: dict[str, str]  # names in lower case


def issue(
    origin: str, key: str, *, serial: int, until: datetime, now: datetime, overrides: dict[str, str], v4: bool
) -> str:
    """A link to GET one object; each serial number makes another one. `overrides`: response-* -> header."""
    access = f"AKIADEMO{serial:012d}"
    path = f"/{key}"
    if v4:
        # "now" where the link has expired already: a negative life has no place in X-Amz-Expires
        life = max(1, int((until - now).total_seconds()))
        signed_at = until - timedelta(seconds=life)
        pairs = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{access}/{signed_at:%Y%m%d}/{_REGION}/s3/aws4_request",
            "X-Amz-Date": f"{signed_at:%Y%m%dT%H%M%SZ}",
            "X-Amz-Expires": str(life),
            "X-Amz-SignedHeaders": "host",
            **overrides,
        }
        asked = Asked("GET", path, _encode(pairs), {"host": urlsplit(origin).netloc})
        pairs["X-Amz-Signature"] = _v4(asked)
    else:
        pairs = {"AWSAccessKeyId": access, "Expires": str(int(until.timestamp())), **overrides}
        pairs["Signature"] = _v2(Asked("GET", path, _encode(pairs), {}))
        order = ("AWSAccessKeyId", "Expires", "Signature", *overrides)
        pairs = {name: pairs[name] for name in order}
    return f"{origin}{path}?{_encode(pairs)}"


def expires(query: str) -> datetime | None:
    """When a link's life ends; None where it is not signed at all."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    try:
        if "X-Amz-Signature" in given:
            signed_at = datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return signed_at + timedelta(seconds=int(given["X-Amz-Expires"]))
        return datetime.fromtimestamp(int(given["Expires"]), UTC) if "Signature" in given else None
    except (KeyError, ValueError):
        return None


def fits(asked: Asked) -> bool:
    """Whether the signature in the query is the one of this request."""
    given = dict(parse_qsl(asked.query, keep_blank_values=True))
    if "X-Amz-Signature" in given:
        return hmac.compare_digest(given["X-Amz-Signature"], _v4(asked))
    return hmac.compare_digest(given.get("Signature", ""), _v2(asked))


def string_to_sign(asked: Asked) -> str:
    """SigV2's: verb, Content-MD5, Content-Type, Expires, x-amz-* headers, resource with response-* parameters."""
    given = dict(parse_qsl(asked.query, keep_blank_values=True))
    amazon = [f"{name}:{value}\n" for name, value in sorted(asked.headers.items()) if name.startswith("x-amz-")]
    sub = "&".join(f"{name}={given[name]}" for name in _OVERRIDES if name in given)
    resource = f"/{BUCKET}{asked.path}" + (f"?{sub}" if sub else "")
    md5, kind = asked.headers.get("content-md5", ""), asked.headers.get("content-type", "")
    return f"{asked.method}\n{md5}\n{kind}\n{given.get('Expires', '')}\n{''.join(amazon)}{resource}"


def _v2(asked: Asked) -> str:
    access = dict(parse_qsl(asked.query)).get("AWSAccessKeyId", "")
    digest = hmac.new(_secret(access), string_to_sign(asked).encode(), hashlib.sha1).digest()
    return b64encode(digest).decode()


def _v4(asked: Asked) -> str:
    """Only the host is signed, so a Content-Type does no harm; the verb is."""
    given = {name: v for name, v in parse_qsl(asked.query, keep_blank_values=True) if name != "X-Amz-Signature"}
    canonical = "\n".join(
        (asked.method, quote(asked.path), _encode(dict(sorted(given.items()))),
         f"host:{asked.headers.get('host', '')}\n", "host", "UNSIGNED-PAYLOAD")
    )  # fmt: skip
    access, _, scope = given.get("X-Amz-Credential", "").partition("/")
    key = b"AWS4" + _secret(access)
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{given.get('X-Amz-Date', '')}\n{scope}\n{hashed}"
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _secret(access: str) -> bytes:
    return hashlib.sha256(f"secret of {access}".encode()).hexdigest().encode()


def _encode(pairs: dict[str, str]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs.items())
