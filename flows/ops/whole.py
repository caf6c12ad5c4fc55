"""The rules of the watch about the archive as a whole: read, practised, roomy, rightly dated. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from flows.configtables import UpkeepTable
from flows.ops.alarm import Alarm, Level
from flows.ops.room import forecast, whole_days
from flows.ops.survey import IMPORT, Survey
from flows.ops.tables import WatchTable
from flows.ops.words import amount, counted, instant, span
from storage.records import LISTING

UNREAD_MORE_DAYS = 7  # than scrubs are given, where nothing else is said
AHEAD = timedelta(days=1)  # that a date may be after now
RIGHTED = timedelta(days=2)  # so recent must a run be to show that our clock is right now
ARCHIVE = "archive"  # what these are about


def unread_within(watch: WatchTable, upkeep: UpkeepTable) -> timedelta:
    """How long a kept byte may stay unread."""
    return timedelta(days=watch.unread_within_days or upkeep.scrub_within_days + UNREAD_MORE_DAYS)


def members(survey: Survey) -> Iterator[Alarm]:
    """`members`: an every-scope for which nobody is known, or a configuration without any scope."""
    if not survey.everies and not any(survey.configured):
        nights = any(run.trigger != IMPORT for scope in survey.scopes for run in scope.runs)
        sentence = "no scope is configured, so nothing is backed up"
        level = Level.CRITICAL if nights else Level.WARNING
        hint = "put a [[source]] into strongroom.toml; see README, *Configuration*"
        yield Alarm("members", "configuration", level, sentence, hint)
    for every in survey.everies:
        if every.members == 0:
            sentence = f"{every.key}: no member is known yet, so nothing of it is backed up"
            hint = f"`strongroom run {every.key.source}` asks the system who there is; `strongroom doctor` tells"
            yield Alarm("members", str(every.key), Level.CRITICAL, sentence, hint)


def notices(survey: Survey) -> Iterator[Alarm]:
    """`listing`, `vanished`, `prune`: what nights said of lists and of retention, and no later one took back."""
    answered = {str(every.key): every.within for every in survey.everies}
    for notice in survey.notices:
        lasting = notice.kind == LISTING and survey.at - notice.since > answered.get(notice.of, timedelta.max)
        since = f"; so since {instant(notice.since)}" if notice.since < notice.said_at else ""
        level = Level.CRITICAL if lasting else Level.WARNING
        yield Alarm(notice.kind, notice.about, level, f"{notice.about}: {notice.sentence}{since}", notice.hint)


def damaged(survey: Survey) -> Iterator[Alarm]:
    """`damaged`: one for each file or thing; what is told of one thing stands together."""
    told: dict[str, list[str]] = {}
    for sentence in survey.damaged:
        told.setdefault(sentence.partition(": ")[0], []).append(sentence)
    for name, sentences in told.items():
        hint = "`strongroom scrub --all` says whom it hits, `strongroom repair` what mends it"
        yield Alarm("damaged", name, Level.CRITICAL, "; ".join(sentences), hint)


def read(survey: Survey, watch: WatchTable, upkeep: UpkeepTable) -> Iterator[Alarm]:
    """`scrub` and `unread`: what reading found, and what it left out."""
    limit, last = unread_within(watch, upkeep), next(iter(survey.scrubs), None)
    if last and last.findings:
        sentence = f"the scrub that ended {instant(last.ended_at)} has {counted(last.findings, 'finding')}"
        hint = "`strongroom scrub` tells them, `strongroom repair` what mends them; a scrub without one ends this"
        yield Alarm("scrub", ARCHIVE, Level.CRITICAL, sentence, hint)
    elif last is None and (age := _age(survey)) > limit:
        sentence = (
            f"the archive was never scrubbed, and its first snapshot is {span(age)} old; wanted {span(limit)}"
        )
        yield Alarm("scrub", ARCHIVE, Level.WARNING, sentence, f"`strongroom scrub`; {_BY_ITSELF}")
    oldest = survey.oldest_unread_at
    if oldest is not None and survey.at - oldest > limit:
        unread = (
            f"the oldest unread byte was last known to be right {instant(oldest)}, {span(survey.at - oldest)} ago"
        )
        sentence = f"{unread}; wanted within {span(limit)}"
        yield Alarm("unread", ARCHIVE, Level.WARNING, sentence, f"`strongroom scrub`; {_BY_ITSELF}")


_BY_ITSELF = "`strongroom serve` does it daily"


def drilled(survey: Survey, watch: WatchTable, upkeep: UpkeepTable) -> Iterator[Alarm]:
    """`drill`: nothing, where drills are switched off, or nothing old enough is kept."""
    last, passed = next(iter(survey.drills), None), survey.last_passed
    limit = timedelta(days=watch.drill_within_days)
    if not upkeep.drill:
        return
    if last is not None and not last.passed:
        of = f"of {last.key} {last.snapshot[:8]}"
        sentence = (
            f"the drill {of} that ended {instant(last.ended_at)} did not give everything back: {last.outcome}"
        )
        hint = f"`strongroom drill {last.snapshot[:8]}` tells what; `strongroom scrub --all` whom else it hits"
        yield Alarm("drill", ARCHIVE, Level.CRITICAL, sentence, hint)
        return
    since = _age(survey) if passed is None else survey.at - passed.ended_at
    if since > limit and (passed is not None or any(scope.shots for scope in survey.scopes)):
        was = "no drill ever passed" if passed is None else f"the last drill that passed was {span(since)} ago"
        sentence = f"{was}; wanted within {span(limit)}: nobody knows that a restore works"
        yield Alarm(
            "drill", ARCHIVE, Level.WARNING, sentence, "`strongroom drill`; `strongroom serve` does it weekly"
        )


def disks(survey: Survey, watch: WatchTable) -> Iterator[Alarm]:
    """`disk`: too little is free now (critical), or the archive's is full soon (warning). The forecast is told."""
    room = forecast(survey)
    for disk in survey.disks:
        free = f"{amount(disk.free)} of {amount(disk.total)} free"
        ours = room if disk.what == ARCHIVE else None
        days = whole_days(ours) if ours else None
        if ours and days is not None:
            grows = f"{amount(ours.bytes_per_day)} a day"
            free += f"; full in {counted(days, 'day')} by the growth of the last 30 days, {grows}"
        low = disk.free * 100 < watch.disk_free_percent * disk.total
        if not low and (ours is None or ours.days > watch.disk_full_within_days):
            continue
        wanted = f"wanted {watch.disk_free_percent:g} % free"
        if disk.what == ARCHIVE:
            wanted += f", and room for {watch.disk_full_within_days:g} days"
        hint = "`strongroom prune` tells what the policies would free; or give it a larger disk"
        if disk.what != ARCHIVE:
            hint = "downloads and drills need room here while they run: free some, or name another [state] folder"
        level = Level.CRITICAL if low else Level.WARNING
        yield Alarm("disk", f"disk:{disk.path}", level, f"{disk.what} disk {disk.path}: {free}; {wanted}", hint)


def clock(survey: Survey) -> Iterator[Alarm]:
    """`clock`: critical where our own clock dated it, because then nothing here can tell what is late."""
    ours: list[tuple[datetime, str]] = [*survey.ahead]
    others: list[tuple[datetime, str]] = []
    for scope in survey.configured:
        ours += [(run.started_at, f"a run of {scope.key}") for run in scope.runs]
        ours += [
            (shot.committed_at, f"number {shot.number} of {scope.key}, by its commit,") for shot in scope.shots
        ]
        others += [(shot.taken_at, f"number {shot.number} of {scope.key}") for shot in scope.shots]
    # Once runs are dated rightly again, what was dated wrongly stays so, and hides nothing any more.
    runs = (run.started_at for scope in survey.configured for run in scope.runs)
    righted = any(timedelta(0) <= survey.at - at <= RIGHTED for at in runs)
    for level, dated in ((Level.WARNING if righted else Level.CRITICAL, ours), (Level.WARNING, others)):
        ahead = [one for one in dated if one[0] - survey.at > AHEAD]
        if ahead:
            at, what = max(ahead)
            sentence = f"{what} is dated {instant(at)}, and now is {instant(survey.at)}"
            hint = (
                "look at this machine's clock, and whether it was wrong then: `strongroom doctor` compares clocks"
            )
            yield Alarm("clock", ARCHIVE, level, sentence, hint)
            return


def _age(survey: Survey) -> timedelta:
    """Of the archive: since its first snapshot."""
    return survey.at - min((at for at, _ in survey.grown), default=survey.at)
