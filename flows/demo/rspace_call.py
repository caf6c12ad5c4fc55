"""One call of RSpace's read-only API, and what all of them share: pages, dates, number and word parameters.

It answers nothing by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flows.demo.lab import User
from flows.demo.message import Request
from flows.demo.rspace_errors import Refusal, invalid
from flows.demo.world import World


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated request."""

    world: World
    user: User
    request: Request


def page(call: Call, items: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    number, size = call.request.parameter("pageNumber", "0"), call.request.parameter("pageSize", "20")
    problems = []
    if not number.isdecimal():
        problems.append(("pageNumber", number, "must be greater than or equal to 0"))
    if not size.isdecimal() or not 1 <= int(size) <= 100:
        problems.append(("pageSize", size, "must be between 1 and 100"))
    if problems:
        raise invalid([(f, v, m) for f, v, m in problems], "apiPaginationCriteria")
    page, per_page = int(number), int(size)
    last = max(0, (len(rows) - 1) // per_page)
    targets = {"next": page + 1 if page < last else None, "prev": page - 1 if page else None}
    targets |= {"first": 0, "last": last, "self": page}
    others = {k: v[0] for k, v in call.request.parameters().items() if k not in ("pageNumber", "pageSize")}
    address = f"{call.request.origin}{call.request.path}"
    links = [
        {
            "link": f"{address}?{urlencode(others | {'pageNumber': n, 'pageSize': per_page})}",
            "rel": rel,
        }
        for rel, n in targets.items()
        if n is not None
    ]
    shown = rows[page * per_page : (page + 1) * per_page]
    return {"totalHits": len(rows), "pageNumber": page, items: shown, "_links": links}


def day_range(text: str) -> tuple[datetime, datetime]:
    """`from;to` as whole days, either may be empty; the end is exclusive."""
    first, _, last = text.partition(";")
    try:
        low = datetime.fromisoformat(first).replace(tzinfo=UTC) if first else datetime.min.replace(tzinfo=UTC)
        high = datetime.fromisoformat(last).replace(tzinfo=UTC) + timedelta(days=1) if last else None
    except ValueError:
        raise invalid([("date", text, "must be yyyy-MM-dd")], "dateRange") from None
    return low, high or datetime.max.replace(tzinfo=UTC)


def words(call: Call, name: str) -> set[str]:
    return {w.strip() for text in call.request.parameters().get(name, []) for w in text.split(",") if w.strip()}


def to_number(text: str) -> int:
    if not text.isdecimal():
        raise Refusal(400, 40006, f"Failed to convert value {text} to a number", errors=["id: must be a number"])
    return int(text)


def missing(what: str, id_: str | None) -> Refusal:
    return Refusal(404, 50301, f"{what} with id {id_} could not be retrieved")
