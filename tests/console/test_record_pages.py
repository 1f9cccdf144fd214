"""The pages of the record: search, sessions with their replay, what goes on; and the files that they load."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mitmproxy.io import tnetstring

from addons.console import assets
from addons.core.audit import timestamp
from addons.edge.search_keeper import catch_up
from addons.edge.search_schema import NoIndex
from tests.console.conftest import World
from tests.console.test_pages import HOSTILE, SignedIn, person, policy

__all__ = ["person", "policy"]
START = 1767225600.0
CAST = "exec-c1.cast"


def event(call: str, stage: str, at: float, **more: Any) -> dict[str, Any]:
    return {
        "auditID": call, "stage": stage, "verb": "create", "user": {"username": "idp#agent"},
        "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop", "name": HOSTILE},
        "requestReceivedTimestamp": timestamp(START), "stageTimestamp": timestamp(START + at),
        "annotations": {"chaperone.dev/decision": "deny", "chaperone.dev/rule": HOSTILE,
                        "chaperone.dev/reason": HOSTILE,
                        "chaperone.dev/argv": json.dumps([HOSTILE])}, **more,
    }  # fmt: skip


@pytest.fixture
def record(world: World, tmp_path: Path) -> Path:
    """A session with everything in it, and an index of it."""
    world.parts.state = tmp_path
    folder = tmp_path / "sessions" / "s1"
    folder.mkdir(parents=True)
    about = {"identity": {"sub": HOSTILE, "groups": [HOSTILE]}, "connection": "prod", "intent": HOSTILE}
    (folder / "session.json").write_text(json.dumps(about))
    events = [
        event("c1", "RequestReceived", 0),
        event("c1", "ResponseStarted", 0.25),
        event("c2", "RequestReceived", 0, requestReceivedTimestamp=timestamp(START + 5), verb="delete"),
        event("c1", "ResponseComplete", 9, annotations={"chaperone.dev/cast": CAST, "chaperone.dev/approver": "boss"}),
    ]
    (folder / "audit.jsonl").write_text("".join(json.dumps(each) + "\n" for each in events))
    cast = [{"version": 3, "timestamp": int(START), "command": HOSTILE, "tags": ["tty"]},
            [3, "o", f"needle {HOSTILE}\r\n"], [1, "i", "rm -rf\r"], [1, "x", "0"]]  # fmt: skip
    (folder / CAST).write_text("".join(json.dumps(line) + "\n" for line in cast))
    catch_up(tmp_path, lambda _: None)
    return folder


PAGES = ["/search", "/search?text=needle", f"/search?text={quote(HOSTILE[:200])}", "/sessions/s1", "/live",
         f"/sessions/s1?cast={CAST}", f"/sessions/s1/casts/{CAST}/text", "/sessions/s1?at=0", "/live?watch",
         "/search?who=%25+_+%22"]  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
async def test_pages_show_what_agents_wrote_as_data(world: World, person: SignedIn, record: Path, path: str) -> None:
    viewer = await person("viewers")
    found = await viewer.browser.get(path)
    assert found.status_code == 200, found.text
    own = re.findall(r'<script defer src="(/static/[0-9a-f]{16}/[a-z.-]+\.js)"></script>', found.text)
    assert found.text.count("<script") == len(own)
    for hostile in ("\x1b", "\u202e", "\u2028", " onclick", "javascript:", "alert(1)</script"):
        assert hostile not in found.text
    csp = found.headers["Content-Security-Policy"]
    assert csp.startswith("default-src 'none';") and "'unsafe" not in csp and "frame-ancestors 'none'" in csp
    assert ("script-src" in csp) is bool(own)
    assert ("wasm-unsafe-eval" in csp) is ("asciinema" in "".join(own))
    for address in own:
        assert (await viewer.browser.get(address)).headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("path", [*PAGES, f"/sessions/s1/casts/{CAST}"])
async def test_only_people_with_a_role_see_them(world: World, person: SignedIn, record: Path, path: str) -> None:
    assert (await world.client.get(path)).status_code == 303
    nobody = await person("others")
    assert (await nobody.browser.get(path)).status_code == 403


async def test_a_search_leads_to_its_places(world: World, person: SignedIn, record: Path) -> None:
    viewer = await person("viewers")
    text = await viewer.get("/search?verb=del*&namespace=shop&who=*")
    ((link, what),) = re.findall(r'<a href="(/sessions/s1\?at=\d+#here)"><bdi dir="ltr">(delete [^<]*)', text)
    assert what.startswith("delete pods/exec shop/")
    page = await viewer.get(link.partition("#")[0])
    assert re.search(r'<tr class="here" id="here" data-at="[\d.]+" data-what="delete ', page)
    text = await viewer.get("/search?text=NEEDLE")
    assert f'href="/sessions/s1?cast={CAST}&amp;t=3.000#replay"' in text and "<mark><bdi" in text
    assert "Nothing is found." in await viewer.get("/search?verb=nothing")
    assert "Nothing is found." in await viewer.get("/search?namespace=%25")


async def test_a_search_goes_on_where_it_ended(
    world: World, person: SignedIn, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addons.console.search._LIMIT", 3)
    viewer = await person("viewers")
    first = await viewer.get("/search?resource=pods")
    (older,) = re.findall(r'href="(/search\?resource=pods&amp;after=[^"]+)"', first)
    second = await viewer.get(older.replace("&amp;", "&"))
    assert (first.count("?at="), second.count("?at="), "Older" in second) == (3, 1, False)


@pytest.mark.parametrize("query", ["since=yesterday", "after=x", "who=" + "x" * 301])
async def test_a_search_that_cannot_be_made(world: World, person: SignedIn, record: Path, query: str) -> None:
    await (await person("viewers")).get(f"/search?{query}", 400)


async def test_without_an_index_the_page_says_what_makes_one(world: World, person: SignedIn, tmp_path: Path) -> None:
    world.parts.state = tmp_path
    text = await (await person("viewers")).get("/search", 503)
    assert "there is no index yet" in text and str(NoIndex.__doc__)


async def test_an_index_that_is_behind_is_said_to_be(world: World, person: SignedIn, record: Path) -> None:
    world.clock.now += 3600
    assert "what came later is not found" in await (await person("viewers")).get("/search")


async def test_a_session_call_by_call(world: World, person: SignedIn, record: Path) -> None:
    viewer, admin = await person("viewers"), await person("admins", sub="bob")
    text = await viewer.get("/sessions/s1")
    assert text.count("<tr data-at=") == 2 and "boss" in text and "goes on" in text and "9000" in text
    assert f'<a href="/sessions/s1?cast={CAST}#replay">' in text
    assert ">Lock</button>" not in text and ">Lock</button>" in await admin.get("/sessions/s1")
    await viewer.get("/sessions/s1?from=x", 400)
    for path in (
        "/sessions/s",
        "/sessions/..%2fs1",
        f"/sessions/s1?cast=../{CAST}",
        "/sessions/s1?cast=x",
    ):
        assert (await viewer.browser.get(path)).status_code in (303, 404)


async def test_a_replay_is_in_time_with_the_calls(
    world: World, person: SignedIn, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = await person("viewers")
    monkeypatch.setattr(assets, "player_there", lambda: True)
    text = await viewer.get(f"/sessions/s1?cast={CAST}&t=4")
    assert f'data-start="{START + 0.25}" data-at="4.0" data-play="no"' in text
    assert f'href="/sessions/s1?cast={CAST}&amp;t=4.750#replay" data-seek="4.750"' in text
    monkeypatch.setattr(assets, "player_there", lambda: False)
    text = await viewer.get(f"/sessions/s1?cast={CAST}")
    assert "The player is not installed" in text and f"/casts/{CAST}/text" in text and "<script" not in text


async def test_a_recording_is_sent_as_it_is(world: World, person: SignedIn, record: Path) -> None:
    viewer = await person("viewers")
    path = f"/sessions/s1/casts/{CAST}"
    content = (record / CAST).read_bytes()
    for accepted in ("identity", "gzip"):
        async with viewer.browser.stream("GET", path, headers={"Accept-Encoding": accepted}) as answer:
            raw = b"".join([piece async for piece in answer.aiter_raw()])
        assert (gzip.decompress(raw) if accepted == "gzip" else raw) == content
        assert answer.headers["Cache-Control"] == "no-store"
    (record / "exec-link.cast").symlink_to(record / "audit.jsonl")
    for name in ("audit.jsonl", "exec-link.cast", "exec-none.cast", "..%2f..%2fx"):
        assert (await viewer.browser.get(f"/sessions/s1/casts/{name}")).status_code == 404


async def test_a_recording_as_text(world: World, person: SignedIn, record: Path) -> None:
    viewer = await person("viewers")
    text = await viewer.get(f"/sessions/s1/casts/{CAST}/text")
    assert "needle \\x1b[2J" in text and "<mark>typed: rm -rf</mark>" in text and "[exit status 0]" in text
    assert 'http-equiv="refresh"' in await viewer.get(f"/sessions/s1/casts/{CAST}/text?watch")
    await viewer.get(f"/sessions/s1/casts/{CAST}/text?from=x", 400)


async def test_a_long_recording_is_read_part_by_part(world: World, person: SignedIn, record: Path) -> None:
    viewer = await person("viewers")
    with (record / CAST).open("a") as file:
        for number in range(6000):
            file.write(json.dumps([0.1, "o", f"line {number} of many, many lines\n"]) + "\n")
    path, seen = f"/sessions/s1/casts/{CAST}/text", ""
    while path:
        text = await viewer.get(path)
        seen += text
        (path, *_) = [*re.findall(r'href="([^"]+from=\d+)"', text), ""]
    assert [int(number) for number in re.findall(r"line (\d+) of many", seen)] == list(range(6000))
    end = await viewer.get(f"/sessions/s1/casts/{CAST}/text?watch")
    assert "line 5999 " in end and "line 0 " not in end


async def test_what_goes_on(world: World, person: SignedIn, record: Path) -> None:
    viewer, admin = await person("viewers"), await person("admins", sub="bob")
    assert "0 running, 0 waiting" in await viewer.get("/live")
    world.clock.now += 2
    state = record.parents[1]
    (state / "live").mkdir()
    told = {"session": "s1", "user": HOSTILE, "connection": "prod", "intent": HOSTILE, "verb": "create",
            "resource": "pods", "subresource": "exec", "namespace": "shop", "name": HOSTILE}  # fmt: skip
    for number, mark in enumerate((":arrow_forward:", ":hourglass_flowing_sand:")):
        about = {**told, "audit_id": f"c{number}", "approval": "abcd2345"}
        flow = {"metadata": {"chaperone": about}, "timestamp_created": world.clock() - 65, "marked": mark,
                "comment": HOSTILE}  # fmt: skip
        (state / "live" / f"{number}.mitm").write_bytes(tnetstring.dumps(flow))
    text = await viewer.get("/live?watch")
    assert "1 running, 1 waiting" in text and "for 1 min 5 s" in text
    assert '<a href="/approvals/abcd2345">' in text and "/sessions/s1/casts/exec-c0.cast/text?watch" in text
    assert ">Lock</button>" not in text and ">Lock</button>" in await admin.get("/live")
    assert not any(each in text for each in ("\x1b", "\u202e", "alert(1)</script"))


async def test_files_that_pages_load(world: World) -> None:
    address = assets.address("", "session.css")
    found = await world.client.get(address)
    assert (found.status_code, found.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
    for path in ("/static/x/session.css", address.replace("session.css", "app.py"), "/static/-/app.py",
                 "/static/-/..%2fapp.py"):  # fmt: skip
        assert (await world.client.get(path)).status_code == 404


def test_the_player_is_found_where_it_was_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in (("CHAPERONE_CACHE", str(tmp_path)), ("XDG_CACHE_HOME", "")):
        monkeypatch.setenv(variable, value)
    assert not assets.player_there() and assets.address("", "asciinema-player.css") == "/static/-/asciinema-player.css"
    folder = tmp_path / "npm" / f"asciinema-player-{assets.PLAYER_VERSION}" / "dist" / "bundle"
    folder.mkdir(parents=True)
    for name in ("asciinema-player.min.js", "asciinema-player.css"):
        (folder / name).write_text("x")
    assert assets.player_there()
    monkeypatch.setenv("CHAPERONE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.parent))
    assert assets.player_there() is (tmp_path.parent / "chaperone").exists()
