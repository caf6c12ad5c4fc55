"""What a project's export status says of the export that we asked for: a word about the project, not about a job.

Pure. An export has no id. `GET /projects/:id/export` tells one word, which may be about last night's file, a
colleague's export, or ours. Words: docs.gitlab.com/api/project_import_export; `failed` and what a word stands for:
GitLab's `Project#export_status`, by which the first of these holds: a file is there and an export is queued or
running (`regeneration_in_progress`), one is `queued`, one is `started`, a file is there (`finished`), one failed
within the last seven days (`failed`), else `none`. So:

* `none` or `failed` may be from before: an export that was asked for is `queued` only when a worker takes it up.
* After `regeneration_in_progress`, `finished` may be the old file: the new export has failed, and nobody says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from flows.errors import SourceUnexpected
from flows.export import Json, State, Status

UNDER_WAY = {
    "queued": State.PENDING,
    "started": State.RUNNING,
    "regeneration_in_progress": State.RUNNING,
    "after_export_action": State.RUNNING,  # GitLab 11 and 12
}
ENDED = ("none", "finished", "failed")
SETTLE_S = (
    120  # so long `finished` is not believed of a project that had a file before, unless it was seen to work
)
GRACE_S = 3600  # so long a question may wait for a worker before its export is given up


def word_of(body: object) -> str:
    """The project's word. Raises SourceUnexpected for one that is not known: it is neither running nor done."""
    word = body.get("export_status") if isinstance(body, Mapping) else None
    if word not in (*UNDER_WAY, *ENDED):
        raise SourceUnexpected(f"GitLab: export status {str(word)[:40]!r} is not known")
    return str(word)


def status_of(word: str, *, handle: Mapping[str, Json], seen: bool, age_s: float, at: datetime | None) -> Status:
    """What `word` says of our export. `seen`: it was seen under way since it was asked for; `age_s`: since then.

    A `finished` that is believed may still be the file from before: what the file says of itself decides
    (`gitlab_content.py`).
    """
    if word in UNDER_WAY:
        return Status(UNDER_WAY[word], word, server_time=at)
    if word == "finished":
        if handle["before"] == "finished" and not seen and age_s < SETTLE_S:
            return Status(State.PENDING, word, "perhaps of the file from before", server_time=at)
        return Status(State.READY, word, server_time=at)
    if not seen and age_s < GRACE_S:
        return Status(State.PENDING, word, "not begun yet", server_time=at)
    detail = f"GitLab says {word!r}: the export failed or never began, or its file has gone; it gives no reason"
    return Status(State.FAILED, word, detail, server_time=at)
