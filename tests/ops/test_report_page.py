"""The report's page: whole without network, script and colour; inert whatever names say; quick for many scopes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from flows.ops import report
from flows.ops.alarm import Alarm, Level
from flows.ops.report.figures import Going
from flows.ops.survey import Survey
from storage.snapshot import ScopeKey
from tests.ops.landscape import NOW, many, scope_seen, settings_in, survey_of, well

VOID = {"meta", "br", "input", "img", "link", "hr"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "</title></style><svg onload=alert(1)>",
    "user\u202egnp.exe\x00\n\x1b[2J",
    "$x^2$ &lt;b&gt;",
)


class Page(HTMLParser):
    """Every element with its attributes; what is opened must be closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        """The attributes of each element of that name."""
        return (attrs for name, attrs, _ in self.elements if name == tag)


def page(folder: Path, survey: Survey, *alarms: Alarm) -> str:
    """The page, with a forecast of what retention takes."""
    going = {scope.key: Going(NOW, 3, refused=scope.key.scope == "paper") for scope in survey.scopes}
    return report.page(settings_in(folder), survey, alarms, going)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a lab of 30 scopes with good and bad nights."""
    alarm = Alarm("failed", "lab/user:3", Level.CRITICAL, "lab/user:3: failed", "`strongroom run lab/user:3`")
    return page(tmp_path_factory.mktemp("report"), many(30), alarm)


def test_it_is_well_formed_and_needs_nothing_from_elsewhere(text: str) -> None:
    """No address to load from, no style or script but those that its own policy names."""
    found = Page(text)

    assert text.startswith('<!doctype html>\n<html lang="en">')
    for tag, attrs, _ in found.elements:
        assert not {"src", "srcset", "action", "data", "xlink:href", "style"} & attrs.keys(), (tag, attrs)
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
        assert (attrs.get("href") or "#").startswith("#")
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    (policy,) = (a["content"] for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_policy_names_the_style_and_the_script_as_they_stand(text: str) -> None:
    """Else a browser would show neither."""
    import base64
    import hashlib

    for tag in ("style", "script"):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in text


def test_it_can_be_read_without_eyes(text: str) -> None:
    """Headers have scopes, tables names, pictures titles; ids are given once, and what refers to one finds it."""
    found = Page(text)

    assert all(attrs.get("scope") in ("col", "row", "colgroup") for attrs in found.all("th"))
    tables = sum(1 for _ in found.all("table"))
    assert tables > 5
    pictures = [attrs for attrs in found.all("svg") if attrs.get("class") == "chart"]
    assert len(pictures) == 4
    ids = [attrs["id"] for _, attrs, _ in found.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    named = " ".join(attrs.get("aria-labelledby") or "" for _, attrs, _ in found.elements).split()
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert set(named) | set(used) <= set(ids)
    titled = [path[-1] for tag, _, path in found.elements if tag == "title"]
    assert titled.count("svg") == sum(1 for _ in found.all("svg"))
    assert all(attrs.get("role") == "img" for attrs in found.all("svg"))


def test_without_its_script_it_tells_as_much(text: str) -> None:
    """Everything is in the markup: the headline, each scope, each number of each chart."""
    bare = " ".join(Page(re.sub(r"<script>.*</script>", "", text, flags=re.DOTALL)).text)

    assert "have no recent backup" in bare or "scopes" in bare
    for scope in many(30).scopes:
        assert str(scope.key) in bare
    assert "2026-08-25" in bare and "2026-11-22" in bare
    assert "critical" in bare and "lab/user:3: failed" in bare
    assert "refused" in bare  # what retention says of a scope


def test_a_bad_night_is_told_by_sign_word_and_title(text: str) -> None:
    """Not by colour alone, nor only to who has a mouse."""
    cells = re.findall(r'<td class="[fm]" title="([^"]+)">([^0-9])<span class="h"> (\w+)</span>', text)

    assert {(sign, word) for _, sign, word in cells} == {("✕", "failed"), ("○", "missing")}
    assert all(re.match(r"2026-\d\d-\d\d: (failed|missing)", title) for title, _, _ in cells)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_elsewhere_are_inert(tmp_path: Path, name: str) -> None:
    """A scope, a source, an archive, an alarm may be called what they like: they are text, on one line."""

    def told(name: str) -> Page:
        scope = replace(scope_seen("user", nights=9), key=ScopeKey(name, name), system=name)
        alarm = Alarm("a", name, Level.WARNING, name, f"`{name}`")
        return Page(page(tmp_path, replace(survey_of(scope), archive=name), alarm))

    plain, found = told("x"), told(name)

    shape = [[(tag, sorted(attrs)) for tag, attrs, _ in one.elements] for one in (found, plain)]
    assert shape[0] == shape[1]
    shown = "".join(char if char.isprintable() else "�" for char in name)
    assert sum(shown in part for part in found.text) >= 6
    assert not any(char in "".join(found.text) for char in "\x00\x1b\u202e")


def test_no_reason_of_a_run_and_no_secret_is_told(tmp_path: Path) -> None:
    """Reasons and problems may name records and files."""
    scope = scope_seen("user", nights=9)
    scope = replace(
        scope,
        runs=tuple(replace(run, reason="RECORD", hint="RECORD", ended="failed") for run in scope.runs),
        shots=tuple(replace(shot, held="RECORD", why_not="RECORD") for shot in scope.shots),
    )
    survey = survey_of(scope)
    survey = replace(
        survey, drills=tuple(replace(drill, problem="RECORD", passed=False) for drill in survey.drills)
    )

    assert "RECORD" not in page(tmp_path, survey)


@pytest.mark.parametrize("nights", [0, 1, 7, 400])
def test_nothing_is_too_little_or_too_much_to_show(tmp_path: Path, nights: int) -> None:
    """No scope, no night, no disk, one night, more than a year."""
    some = survey_of(scope_seen("user", nights=nights), nights=max(nights, 7))
    for survey in (
        some,
        survey_of(nights=7),
        replace(some, disks=(), scrubs=(), drills=(), oldest_unread_at=None),
    ):
        Page(page(tmp_path, survey))


def test_two_hundred_scopes_are_still_a_page(tmp_path: Path) -> None:
    """Of ninety nights: below 1.5 MB, within 5 seconds of one core, the scopes of each source folded away."""
    survey = many(200)
    began = time.process_time()
    text = page(tmp_path, survey)

    assert time.process_time() - began < 5
    assert len(text.encode()) < 1_500_000
    assert '<details class="group keep">' in text
    assert '<details class="group keep" open>' in page(tmp_path, many(9, how=well))


def _colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_pair_of_colours_can_be_read_by_light_and_in_the_dark() -> None:
    """4.5 for text and 3 for lines of charts: WCAG 2.2, level AA, 1.4.3 and 1.4.11."""
    css = Path(report.__file__).with_name("page.css").read_text()
    schemes = [_colours(block) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)]

    assert len(schemes) == 3  # light, dark, paper
    assert len({frozenset(scheme) for scheme in schemes}) == 1
    for scheme in schemes:
        for name in ("ink", "muted", "bad", "warn", "good"):
            assert _contrast(scheme[name], scheme["back"]) >= 4.5, name
        for name in ("good", "same", "warn", "bad", "wait"):
            assert _contrast(scheme[f"{name}-ink"], scheme[f"{name}-back"]) >= 4.5, name
        for name in ("first", "second"):
            assert _contrast(scheme[name], scheme["back"]) >= 3, name


def test_what_the_page_uses_its_style_knows() -> None:
    """No variable without a value, in style sheet, template and charts."""
    folder = Path(report.__file__).parent
    named = "".join((folder / name).read_text() for name in ("page.css", "page.html.j2"))

    assert set(re.findall(r"var\(--([\w-]+)\)", named)) <= _colours((folder / "page.css").read_text()).keys()
