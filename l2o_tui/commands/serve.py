"""``l2o-tui serve``: the home screen in a browser, to look at runs and steer them; nothing is trained by it.

Every connection is a process of its own, which shows what a terminal would show (textual-serve). Who may connect:

- On a loopback address, every request must name such an address as its host, and a page that opens the connection must
  have come from there: a page of elsewhere, whose name was made to mean this machine (DNS rebinding), does not.
- On any other address, and where it is asked for, a token as well: in the link that is printed, then in a cookie that
  no other site's page can have sent.

The connection is not encrypted; over a network, have SSH carry it, or a proxy that speaks TLS.
"""

import os
import shlex
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from ipaddress import ip_address
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from l2o_engine.support.errors import UserError
from l2o_engine.support.processes import environment, python_command
from l2o_tui import exit_codes
from l2o_tui.commands.screen import open_served
from l2o_tui.text.streams import say

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

TOKEN_VARIABLE = "L2O_SERVE_TOKEN"  # noqa: S105 (a name, and no token)
_COOKIE = "l2o-tui-token"
_LEAST_TOKEN = 16  # characters
_CONTENT = "default-src 'self' 'unsafe-inline' data: blob:; connect-src 'self' ws: wss:; frame-ancestors 'none'"
_MISSING_LIBRARY = "serve needs a library that is not installed: pip install 'l2o-tui[web]'"


class ServeError(UserError):
    """It cannot be served as asked. The message is meant for the user."""


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine alone, as it is written: by a loopback address, or as localhost."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def token_for(host: str, *, wanted: bool | None) -> str:
    """Return the token that is asked for; empty for none.

    Parameters
    ----------
    host
        The address that is listened on.
    wanted
        Whether one is; None for what suits the address.

    Raises
    ------
    ServeError
        If others could connect without one, or the one that is given is too short.
    """
    if wanted is False and not is_loopback(host):
        raise ServeError(f"{host} is open to others, who could steer your runs: it is not served without a token")
    given = os.environ.get(TOKEN_VARIABLE, "")
    if not (given or wanted or not is_loopback(host)) or wanted is False:
        return ""
    if given and len(given) < _LEAST_TOKEN:
        raise ServeError(f"{TOKEN_VARIABLE} is too short: a token has {_LEAST_TOKEN} characters at least")
    return given or token_urlsafe(24)


def why_refused(*, host: str | None, origin: str | None, presented: str | None, token: str) -> str | None:
    """Return why a request is refused; None if it is not.

    Parameters
    ----------
    host, origin
        Its headers of these names.
    presented
        The token that it has.
    token
        The one that is asked for; empty for none.
    """
    name = urlsplit(f"//{host or ''}").hostname or ""
    if not token and not is_loopback(name):
        return "this host is not served"
    if origin is not None and urlsplit(origin).netloc != host:
        return "a page of another site asks"
    if token and not compare_digest((presented or "").encode(), token.encode()):
        return "the token is missing or wrong"
    return None


def run_server(*, host: str, port: int, token: bool | None, runs_dir: Path) -> int:
    """Serve until a signal comes; return the exit code.

    Raises
    ------
    ServeError
        If the library is missing, others could connect without a token, or the address cannot be had.
    """
    asked = token_for(host, wanted=token)
    try:
        from textual_serve.server import Server
    except ImportError as error:
        raise ServeError(_MISSING_LIBRARY) from error
    from aiohttp import web

    os.environ.update(environment())  # of the processes that it starts
    command = shlex.join(python_command("l2o_tui", "serve-session", "--runs-dir", str(runs_dir.absolute())))
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    class GuardedServer(Server):
        """textual-serve's, which asks who comes."""

        async def _make_app(self) -> web.Application:
            app = await super()._make_app()
            app.middlewares.append(guard(asked))
            return app

        async def on_startup(self, app: web.Application) -> None:
            say(f"l2o-tui: in a browser: {address}{f'?token={asked}' if asked else ''} (ctrl+c ends it)")

        async def handle_index(self, request: web.Request) -> Any:
            self.public_url = f"{request.scheme}://{request.host}"  # by which the browser has found us
            return await super().handle_index(request)

        def initialize_logging(self) -> None:
            """Say nothing of every connection."""

    try:
        GuardedServer(command, host=host, port=port, title="l2o-tui").serve()
    except OSError as error:
        raise ServeError(f"cannot serve on {host}, port {port}: {error.strerror or error}") from error
    return exit_codes.DONE


def guard(token: str) -> "Middleware":
    """Return the middleware that refuses whoever may not connect, and puts the token of a link into a cookie."""
    from aiohttp import web

    @web.middleware
    async def guarded(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        in_link = request.query.get("token") if request.path == "/" else None
        why = why_refused(
            host=request.headers.get("Host"),
            origin=request.headers.get("Origin"),
            presented=in_link or request.cookies.get(_COOKIE),
            token=token,
        )
        if why is not None:
            raise web.HTTPForbidden(text=f"refused: {why}\n")
        if token and in_link:
            moved = web.HTTPSeeOther("/")  # the address bar, and what the page refers to, are without it
            moved.set_cookie(_COOKIE, token, httponly=True, samesite="Strict")
            moved.headers["Referrer-Policy"] = "no-referrer"
            raise moved
        response = await handler(request)
        if not response.prepared:
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["X-Frame-Options"] = "DENY"
            response.headers["Content-Security-Policy"] = _CONTENT  # fonts of another site's among what is left out
        return response

    return guarded


def show_session(*, runs_dir: Path, fps: float) -> int:
    """Show the home screen to one browser; return the exit code.

    Raises
    ------
    ServeError
        If this is no process that serve has started.
    """
    if "TEXTUAL_DRIVER" not in os.environ:
        raise ServeError("this is what `l2o-tui serve` starts for each browser")
    return open_served(runs_dir=runs_dir, fps=fps)
