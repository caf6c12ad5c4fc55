"""Verbs about the keys of an encrypted archive: who holds one, and the copy on paper."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import asking
from flows.cli.console import (
    ArchiveOption,
    ConfigOption,
    JsonOption,
    complain,
    day,
    out,
    print_json,
    print_table,
    say,
)
from flows.cli.look import place_and_key
from flows.errors import ConfigError, Exit

if TYPE_CHECKING:
    from storage.cipher import Key
    from storage.keyring import Keyring

app = typer.Typer(name="key", help="Who can open an encrypted archive: add, remove, rotate; a copy on paper.")
FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="Its key file, made where it is not there; none: a passphrase is asked for."),
]
_OLDER = "of somebody whom an older version has added? first `strongroom key add` them anew"
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


def register(parent: typer.Typer) -> None:
    """Add these verbs to the app."""
    parent.add_typer(app, no_args_is_help=True)


@app.command("list")
def list_holders(archive: ArchiveOption = None, config: ConfigOption = None, json: JsonOption = False) -> int:
    """Everybody who can open the archive. Needs no key; with one, each is proven to be no planted file."""
    from storage import keys, mark
    from storage.snapshot import to_text

    backend, _ = place_and_key(archive, config, key=False)
    found = mark.read(backend)
    problems: list[str] = []
    ring = _at_hand(archive, config) if found.encrypted else ()
    known = [
        (one, keys.proven(one, ring) if ring else None)
        for one in keys.holders(backend, found.id, problems=problems)
    ]
    if json:
        rows = [
            {
                "id": o.id,
                "name": o.shown,
                "how": o.how,
                "keys": o.count,
                "made_at": to_text(o.made_at),
                "proven": so,
            }
            for o, so in known
        ]
        print_json("key list", {"encrypted": found.encrypted, "holders": rows, "problems": problems})
    elif not found.encrypted:
        say(f"{backend.url}: not encrypted: it has no keys, and needs none")
    else:
        most = max((one.count for one, it_is in known if it_is is not False), default=0)
        table = [[o.id, o.shown, o.how, day(o.made_at), _right(o.count, most, it_is)] for o, it_is in known]
        print_table("", ["id", "name", "has a", "since", "opens"], table)
        if not ring:
            say("hint: no key is at hand that opens it, so this is what the files say, and nothing is proven")
    for problem in problems:
        complain(problem, "`strongroom repair --from` a copy; where none has it, delete that file")
    strange = [one for one, it_is in known if it_is is False]
    for one in strange:
        complain(f"{one.file}: {keys.NOT_PROVEN}", f"`strongroom key remove {one.id}`; {_OLDER}")
    return Exit.VERIFICATION if problems or strange else Exit.DONE


def _right(count: int, most: int, proven: bool | None) -> str:
    if proven is False:
        return "nothing that is proven"
    return "all" if count == most else f"what was there before rotation {count}"


def _at_hand(archive: str | None, config: Path | None) -> Sequence[Key]:
    """The keys of the archive, as far as a key for it is at hand; nobody is asked."""
    from storage.errors import StorageError
    from storage.keyring import Keyring

    with suppress(ConfigError, StorageError):
        return Keyring.open(*place_and_key(archive, config)).keys
    return ()


@app.command()
def add(
    name: Annotated[
        str, typer.Argument(help="Who or what holds it; everybody who sees the archive can read that.")
    ],
    file: FileOption = None,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Let one more holder open the archive. Needs a key that opens it."""
    ring, _ = _ring(archive, config)
    secret = secret_for(file, ring.url)
    try:
        holder = ring.add(name, secret, now=datetime.now(UTC))
    except ValueError as exc:
        raise ConfigError(f"{name}: {exc}") from exc
    if json:
        print_json("key add", {"id": holder.id, "name": holder.shown, "how": holder.how})
    else:
        out.print(f"{holder.shown} opens the archive by a {holder.how}; holder {holder.id}", markup=False)
    return Exit.DONE


@app.command()
def remove(
    holder: Annotated[str, typer.Argument(help="An id, or a name that only one has.")],
    yes: YesOption = False,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Take a holder away. Who copied the archive before, and has that holder's key, can still read the copy."""
    from storage.keys import FORMAT, NOT_PROVEN, proven, unwrap

    ring, secret = _ring(archive, config)
    try:
        chosen = ring.chosen(holder)
        if unwrap(chosen, secret):
            raise ConfigError(
                f"{chosen.shown} ({chosen.id}) is whose key you use: with it gone, every run that uses it ends",
                hint="put another holder's key in its place, then remove this one",
            )
        so = proven(chosen, ring.keys)
        what = f"{chosen.shown} ({chosen.how}, {chosen.id}{'' if so else f'; {NOT_PROVEN}'})"
        if not yes and not asking.confirmed(f"Remove {what}?"):
            say("nothing was removed")
            return Exit.INTERRUPTED
        ring.remove(chosen, now=datetime.now(UTC))
    except ValueError as exc:
        raise ConfigError(f"{holder}: {exc}", hint="`strongroom key list` names them") from exc
    if json:
        print_json("key remove", {"id": chosen.id, "name": chosen.shown, "proven": so})
        return Exit.DONE
    gone = "opens the archive no more" if so else "is removed: it was no proven holder's"
    out.print(f"{chosen.shown if so else chosen.file} {gone}", markup=False, soft_wrap=True)
    if so or chosen.format < FORMAT:  # a file of an older version proves nothing, and may have opened
        say("hint: if that key may be in other hands, `strongroom key rotate` keeps it from what is to come")
    return Exit.DONE


@app.command()
def rotate(
    archive: ArchiveOption = None, config: ConfigOption = None, yes: YesOption = False, json: JsonOption = False
) -> int:
    """Encrypt what comes from now on with a new key. What is there stays as it is, and readable.

    The key that is given opens both; other holders, and paper copies, open only what was there before, until they
    are made anew.
    """
    ring, secret = _ring(archive, config)
    if not yes and not asking.confirmed("Rotate? All other holders and paper copies must be made anew."):
        say("nothing was rotated")
        return Exit.INTERRUPTED
    try:
        behind = ring.rotate(secret, now=datetime.now(UTC))
    except ValueError as exc:
        raise ConfigError(f"key rotate: {exc}", hint="give a holder's key or passphrase") from exc
    if archive is None:
        _remember(config)
    if json:
        rows = [{"id": one.id, "name": one.shown, "how": one.how} for one in behind]
        print_json("key rotate", {"keys": len(ring.keys), "behind": rows})
        return Exit.DONE
    out.print(f"from now on key {len(ring.keys)} encrypts; older files keep theirs", markup=False)
    for one in behind:
        say(f"warning: {one.shown} ({one.how}, {one.id}) opens only what was there before: add it anew")
    say("hint: print a new paper copy: `strongroom key export --paper`, and prove it: `strongroom key drill`")
    say("hint: the key given opens what is to come: is it the stolen one? add another, remove it, rotate by that")
    return Exit.DONE


@app.command()
def export(
    paper: Annotated[
        bool, typer.Option("--paper", help="As lines to print, and a QR code in the terminal.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Write the QR code to this file, too: .svg, .png or .pdf.")
    ] = None,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
) -> int:
    """Print all keys of the archive. Whoever has them reads everything in it, whatever becomes of its holders."""
    from storage.keytext import paper_compact, paper_text

    if not paper:
        raise ConfigError(
            "key export: --paper is the one form that there is", hint="strongroom key export --paper"
        )
    if picture is not None and picture.suffix not in (".svg", ".png", ".pdf"):
        raise ConfigError(f"--picture {picture}: .svg, .png and .pdf are written", hint="name it page.svg")
    ring, _ = _ring(archive, config)
    ring.check_up_to_date()  # half of the keys on paper would be taken for all of them
    text = paper_text(ring.archive_id, ring.keys)
    now = datetime.now(UTC)
    print(f"Strongroom: the keys of archive {ring.archive_id}, printed {now:%Y-%m-%d}.")
    print("Whoever has this page can read everything in that archive. Keep it where fire and thieves do not come.")
    print("To use it: put these lines into a file and name that in STRONGROOM_KEY_FILE, with --archive.")
    print("To prove it: strongroom key drill.\n")
    print(text)
    _show_code(paper_compact(text), picture)
    say("hint: `strongroom key drill` asks for these lines as they stand on paper, and proves them")
    return Exit.DONE


@app.command()
def drill(
    file: Annotated[
        Path | None, typer.Option("--from", help="A file with the lines, as scanned; none: type them.")
    ] = None,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Prove that the paper copy alone opens the archive and reads its newest snapshot; that is recorded there.

    After a rotation it is the newest that needs the newest key, as soon as there is one.
    """
    from storage.keyring import drilled

    backend, _ = place_and_key(archive, config, key=False)
    proven = drilled(backend, _typed() if file is None else _text(file), now=datetime.now(UTC))
    if json:
        facts = {"keys": proven.keys, "snapshot": proven.snapshot, "snapshot_key": proven.key}
        print_json("key drill", facts)
    else:
        by = f", by key {proven.key} of {proven.keys}" if proven.keys > 1 else ""
        read = f"gave snapshot {proven.snapshot[:8]} of {proven.chain} whole{by}"
        told = read if proven.snapshot else "has no snapshot yet"
        out.print(f"the paper copy opens the archive, which {told}", markup=False, soft_wrap=True)
    if proven.snapshot and proven.key < proven.keys:
        say(f"hint: no snapshot needs key {proven.keys} yet: drill once more when the next backup is there")
    return Exit.DONE


def _remember(config: Path | None) -> None:
    """Have the catalog know the new key, so that it misses it where older files are put back in `keys/`."""
    from flows import config as configuration
    from flows.workbench import open_archive, open_catalog
    from storage.errors import StorageError

    with suppress(ConfigError, StorageError):  # the key is there; the next run notes it as well
        settings = configuration.load(configuration.find(config))
        with open_catalog(settings, open_archive(settings)):
            pass


def _ring(archive: str | None, config: Path | None) -> tuple[Keyring, str]:
    from storage.keyring import Keyring

    backend, secret = place_and_key(archive, config)
    if secret is None and asking.somebody():
        secret = asking.asked("Key or passphrase", instead=asking.KEY, hidden=True)
    return Keyring.open(backend, secret), secret or ""


def secret_for(file: Path | None, archive: str) -> str:
    """The secret of a new holder: that of a key file, which is made where it is not there, or a passphrase.

    Raises ConfigError for a file within the folder `archive`, and where the input ends without a passphrase.
    """
    from flows.making import make_key_file, refuse_inside

    if file is not None:
        refuse_inside(file, archive, "--file")
        make_key_file(file)
        return _text(file)
    question, instead = "New passphrase", "`--file FILE` makes a key file in its place"
    if asking.somebody():
        return asking.asked(question, instead=instead, hidden=True, twice=True)
    if line := sys.stdin.readline() if sys.stdin else "":
        return line.strip()
    raise asking.unanswered(question, instead)


def _text(file: Path) -> str:
    from flows.credentials import text_of

    return text_of(file, "key")


def _typed() -> str:
    from storage.keytext import PAPER

    lines: Iterable[str] = sys.stdin or ()  # perhaps the whole page, in which empty lines stand
    if asking.somebody():
        say(f"type the lines as they stand on paper, from {PAPER} on; an empty line ends them")
        lines = takewhile(str.strip, lines)
    if text := "".join(lines):
        return text
    raise asking.unanswered("The lines of the paper copy", "`--from FILE` reads them from a file")


def _show_code(text: str, picture: Path | None) -> None:
    import segno

    try:
        code = segno.make_qr(text, error="m")
    except segno.DataOverflowError:
        told = "more keys than a QR code holds: the lines above are all of them, and all that is needed"
        if picture is not None:
            raise ConfigError(f"--picture {picture}: {told}", hint="print the lines, without --picture") from None
        say(f"warning: no picture: {told}")
        return
    if sys.stdout.isatty():
        code.terminal(compact=True)
    if picture is None:
        return
    try:
        handle = os.open(picture, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            code.save(stream, kind=picture.suffix[1:], scale=6)
    except OSError as exc:
        raise ConfigError(f"--picture {picture}: {exc.strerror}", hint="name a file that is not there") from exc
