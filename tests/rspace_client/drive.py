"""Drives a demo server with RSpace's official client and prints what the client made of it, as one JSON line.

Run by a Python that has `rspace-client`, which is not this project's own. The plan comes as JSON on standard
input: `url`, `control`, `folder` for downloads, `pi` and `admin` (keys), and ids: `user`, `group`, `document`,
`selection`, `folder_id`, `file`. It judges nothing; test_official_client.py does.
"""

from __future__ import annotations

import json
import sys
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The client lives in an environment of its own, where mypy does not look, and carries no types.
from rspace_client.eln.advanced_query_builder import AdvancedQueryBuilder  # type: ignore[import-not-found]
from rspace_client.eln.eln import ELNClient  # type: ignore[import-not-found]

POLL_S = 0.05


class Drive:
    """One client with the group leader's key, one with the administrator's."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        # retried at once, so that a test of errors does not wait
        self.pi = ELNClient(plan["url"], plan["pi"], backoff_factor=0)
        self.admin = ELNClient(plan["url"], plan["admin"], backoff_factor=0)
        self.once = ELNClient(plan["url"], plan["pi"], max_retries=0)

    def steer(self, **wishes: Any) -> None:
        """Tell the demo server how to behave."""
        request = urllib.request.Request(self.plan["control"], json.dumps(wishes).encode())  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310

    def reads(self) -> dict[str, Any]:
        """What the client's reading calls give."""
        pi, admin, plan = self.pi, self.admin, self.plan
        tagged = AdvancedQueryBuilder().add_term("publish", AdvancedQueryBuilder.QueryType.TAG)
        return {
            "status": pi.get_status(),
            "whoami": pi.retrieve_api_results("/userDetails/whoami"),
            "admin": admin.retrieve_api_results("/userDetails/whoami"),
            "groups": pi.get_groups(),
            "all_groups": admin.retrieve_api_results("/groups/search", {"query": ""}),
            "documents": pi.get_documents(page_size=5),
            "streamed": [row["id"] for row in pi.stream_documents()],
            "tagged": pi.get_documents_advanced_query(str(tagged)),
            "document": pi.get_document(plan["document"]),
            "home": pi.list_folder_tree(),
            "tree": pi.list_folder_tree(plan["folder_id"], typesToInclude=["document"]),
            "images": pi.get_files(),
            "file": pi.get_file_info(plan["file"]),
            "users": admin.get_users(tempaccount_only=False, created_before="2100-01-01", page_size=100),
            "users_by_default": admin.get_users(),
        }

    def exports(self) -> dict[str, Any]:
        """Each scope in both formats, as the client fetched it."""
        plan, fetched = self.plan, {}
        for format_ in ("xml", "html"):
            for scope, uid in (("user", None), ("user", plan["user"]), ("group", None), ("group", plan["group"])):
                name = f"{format_}/{scope}" if uid is None else f"{format_}/{scope}/{uid}"
                log = str(Path(plan["folder"]) / "progress.log")
                path = self.pi.export_and_download(
                    format_, scope, plan["folder"], uid, wait_between_requests=POLL_S, progress_log=log
                )
                fetched[name] = told(path)
            path = self.pi.download_export_selection(
                format_, plan["folder"], plan["selection"], wait_between_requests=POLL_S
            )
            fetched[f"{format_}/selection"] = told(path)
        return fetched | {"log": (Path(plan["folder"]) / "progress.log").read_text("utf-8")}

    def activity(self) -> dict[str, Any]:
        """The log after the exports; the client's filter by user has another name than the server's."""
        exports = ["EXPORT"]
        return {
            "exports": self.pi.get_activity(actions=exports),
            "of_nobody": self.pi.get_activity(actions=exports, users=["nobody"]),
        }

    def errors(self) -> dict[str, Any]:
        """What the client raises."""
        plan, pi = self.plan, self.pi
        stranger = ELNClient(plan["url"], "no_such_key_no_such_key_no_such_", backoff_factor=0)
        seen = {
            "wrong_key": raised(stranger.get_status),
            "unknown_job": raised(lambda: pi.get_job_status(999)),
            "unknown_document": raised(lambda: pi.get_document(999999)),
            "not_ours": raised(lambda: pi.start_export("xml", "user", 4)),
        }
        seen["failed"] = self.with_fault(self.fetch, job_fails="org.example.BadThing: it broke")
        seen["swallowed"] = self.with_fault(self.fetch, job_500=True)
        seen["purged"] = self.with_fault(self.fetch, purge_at_once=True)
        seen["not_accepted"] = self.with_fault(self.fetch, launch_failed=True)
        seen["refused"] = self.with_fault(self.fetch, refused=True)
        self.steer(run_s=1000)
        self.once.start_export("xml", "user")
        seen["running"] = raised(lambda: self.once.start_export("xml", "user"))
        return seen

    def with_fault(self, act: Callable[[], Any], **fault: Any) -> dict[str, Any]:
        """What comes out of a call while a switch holds for one use."""
        self.steer(faults={name: {"value": value, "times": 1} for name, value in fault.items()})
        return raised(act)

    def fetch(self) -> str:
        """Export and download the key's own work, somewhere else than the good ones."""
        target = str(Path(self.plan["folder"]) / "failed.zip")
        path: str = self.pi.export_and_download("xml", "user", target, wait_between_requests=POLL_S)
        return path


def told(path: str) -> dict[str, Any]:
    data = Path(path).read_bytes()
    return {"name": Path(path).name, "size": len(data), "crc32": str(zlib.crc32(data))}


def raised(act: Callable[[], Any]) -> dict[str, Any]:
    """The exception of a call by name, status and text; that there was none is told too."""
    try:
        return {"type": None, "answer": act()}
    except Exception as problem:  # whatever it is, the test looks at it
        status = getattr(problem, "response_status_code", None)
        return {"type": type(problem).__name__, "status": status, "text": str(problem)}


def main() -> None:
    drive = Drive(json.load(sys.stdin))
    parts = {"reads": drive.reads, "exports": drive.exports, "activity": drive.activity, "errors": drive.errors}
    print(json.dumps({name: part() for name, part in parts.items()}))


if __name__ == "__main__":
    main()
