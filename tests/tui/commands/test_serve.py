"""``l2o-tui serve``: who may connect, and what a browser's view does not do."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from l2o_engine.presets.tables import to_toml
from l2o_tui.app import L2oApp
from l2o_tui.commands.serve import TOKEN_VARIABLE, ServeError, guard, is_loopback, token_for, why_refused
from l2o_tui.screens.start import NewRun
from tests.engine import tiny
from tests.tui.conftest import call
from tests.tui.waiting import text_of, until

TOKEN = "-".join(["a token", "of a test"])
HOST = "127.0.0.1:8000"


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_addresses_ask_for_no_token(host: str) -> None:
    assert is_loopback(host)
    assert token_for(host, wanted=None) == ""
    assert len(token_for(host, wanted=True)) >= 32


@pytest.mark.parametrize("host", ["192.168.0.7", "::", "node7", "localhost.evil.com", "127.0.0.1.nip.io", ""])
def test_any_other_address_asks_for_one(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_loopback(host)
    assert token_for(host, wanted=None) != token_for(host, wanted=None)
    with pytest.raises(ServeError, match="not served without a token"):
        token_for(host, wanted=False)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert token_for(host, wanted=None) == TOKEN
    assert token_for("127.0.0.1", wanted=None) == TOKEN  # who sets one wants it
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(ServeError, match="too short"):
        token_for(host, wanted=None)


@pytest.mark.parametrize(
    ("request_", "token", "why"),
    [
        ({"host": HOST}, "", None),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, "", None),
        ({"host": "[::1]:8000"}, "", None),
        ({"host": "evil.com:8000"}, "", "host"),  # a name that was made to mean this machine
        ({"host": "evil.com:8000", "origin": "http://evil.com:8000"}, "", "host"),
        ({"host": None}, "", "host"),
        ({"host": HOST, "origin": "http://evil.com"}, "", "another site"),
        ({"host": HOST, "origin": "null"}, "", "another site"),
        ({"host": HOST, "origin": "http://127.0.0.1:9999"}, "", "another site"),
        ({"host": "node7:8000", "presented": TOKEN}, TOKEN, None),
        ({"host": "node7:8000"}, TOKEN, "token"),
        ({"host": "node7:8000", "presented": TOKEN[:-1]}, TOKEN, "token"),
        ({"host": "node7:8000", "presented": "é"}, TOKEN, "token"),
        ({"host": "node7:8000", "presented": TOKEN, "origin": "http://evil.com"}, TOKEN, "another site"),
    ],
)
def test_who_is_refused(request_: dict[str, str | None], token: str, why: str | None) -> None:
    said = why_refused(**{"host": None, "origin": None, "presented": None, **request_}, token=token)
    assert (said is None) if why is None else (said is not None and why in said)


async def test_a_link_s_token_becomes_a_cookie_and_leaves_the_address() -> None:
    pytest.importorskip("aiohttp")
    from aiohttp import CookieJar, web
    from aiohttp.test_utils import TestClient, TestServer

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="home")

    app = web.Application(middlewares=[guard(TOKEN)])
    app.add_routes([web.get("/", page), web.get("/ws", page)])
    async with TestClient(TestServer(app), cookie_jar=CookieJar(unsafe=True)) as client:
        for path in ("/", "/ws", f"/ws?token={TOKEN}", "/?token=wrong", "/nowhere"):
            assert (await client.get(path)).status == 403, path
        moved = await client.get(f"/?token={TOKEN}", allow_redirects=False)
        assert (moved.status, moved.headers["Location"]) == (303, "/")
        assert {"HttpOnly", "SameSite=Strict"} <= set(moved.headers["Set-Cookie"].split("; "))
        for path in ("/", "/ws"):
            answer = await client.get(path)
            assert (answer.status, await answer.text()) == (200, "home")
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert (await client.get("/ws", headers={"Origin": "http://evil.com"})).status == 403


async def test_a_browser_s_view_looks_and_trains_nothing(workplace: Path) -> None:
    (workplace / "mine.toml").write_text(to_toml(tiny.tiny_preset()))
    tiny.run(workplace / "runs" / "ours", tiny.tiny_preset())
    before = sorted(workplace.rglob("*"))
    app = L2oApp(runs_dir=workplace / "runs", is_served=True)

    def shown() -> str:
        return type(app.screen).__name__

    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: shown() == "HomeScreen" and "look" in text_of(pilot))
        footer = text_of(pilot).splitlines()[-1]
        assert not {"resume", "export", "delete"} & set(footer.split())
        await pilot.press("r", "k", "e", "D", "v", "ctrl+z")
        await pilot.press("question_mark")
        await until(pilot, lambda: shown() == "HelpScreen")
        texts = [key.help for key in [*app.screen._now, *app.screen._later]]  # type: ignore[attr-defined]
        assert not [text for text in texts if "Delete" in text or "export" in text.lower() or "Start" in text]
        await pilot.press("escape")
        await pilot.press("tab", "end", "enter")  # a preset
        assert shown() == "HomeScreen"
        app.start(NewRun(tiny.tiny_preset()), workplace)  # however it is come by
        await until(pilot, lambda: "trains nothing" in text_of(pilot))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: shown() == "TrainingScreen" and "finished" in text_of(pilot))
        await pilot.press("w", "k")
        assert shown() == "TrainingScreen"
    assert sorted(workplace.rglob("*")) == before


def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("textual_serve"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    result = call("serve")
    assert (result.code, result.out) == (2, "")
    assert "pip install 'l2o-tui[web]'" in result.err


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--host", "0.0.0.0", "--no-token"), "without a token"), (("--port", "0"), "--port")],  # noqa: S104 (refused)
)
def test_what_is_wrong_is_one_message(options: tuple[str, ...], said: str) -> None:
    result = call("serve", *options)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_a_session_is_no_command_for_people() -> None:
    result = call("serve-session")
    assert result.code == 2
    assert "l2o-tui serve" in result.err
    assert "serve-session" not in call("--help").out
