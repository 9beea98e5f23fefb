"""autodeploy/proxy/NAME/PATH: a deployment's port, for a browser that cannot reach it.

Who may do what, and why, stands in the room's docstring.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from hmac import compare_digest
from http import HTTPStatus
from typing import Any

import msgspec
from jupyter_core.utils import ensure_async
from jupyter_server.auth.utils import HTTP_METHOD_TO_AUTH_ACTION
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.httputil import HTTPHeaders, RequestStartLine, ResponseStartLine

from autodeploy_magic import tls
from autodeploy_magic.address import address_of, url_of
from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import (
    AutodeployError,
    BadInput,
    Forbidden,
    Unavailable,
)
from autodeploy_magic.server_extension.backend import Backend
from autodeploy_magic.server_extension.headers import to_browser, to_deployment, without_ours
from autodeploy_magic.server_extension.refusals import RESOURCE, Refused, told
from autodeploy_magic.server_extension.upstream import Exchange, Receiver, Target
from autodeploy_magic.store import read_tokens

__all__ = ["ProxyHandler"]

_READS = ("GET", "HEAD")
_WITH_BODY = ("POST", "PUT", "PATCH")
_SANDBOX = "sandbox allow-scripts allow-forms allow-popups"
"""Without allow-same-origin: what is shown cannot act as a page of this server."""


@web.stream_request_body
class ProxyHandler(APIHandler):
    """One request to a deployment, and its answer. All is decided on its head, before any of its body is read."""

    def initialize(self) -> None:
        rest = self.request.path.removeprefix(f"{self.base_url}autodeploy/proxy/")
        self._name, slash, path = rest.partition("/")
        self._path = f"/{path}" if slash else ""
        self._exchange: Exchange | None = None
        self._gone = False
        self._track_activity = self.request.method not in _READS  # a metrics scraper must not keep a server awake

    async def prepare(self) -> None:  # type: ignore[override]
        await super().prepare()  # the user, the host, the origin, and XSRF for all but reading
        if not self._finished and self.request.method != "OPTIONS":
            web.authenticated(lambda _: None)(self)
        if self._finished or self.request.method == "OPTIONS":
            return
        await self._authorize()
        desired = self._desired()
        if not self._path and self.request.method in _READS:
            # The try-it page asks for "predict", which is below it only with the slash.
            self.redirect(f"{self._prefix}/" + (f"?{self.request.query}" if self.request.query else ""))
            return
        await self._begin(desired)

    async def data_received(self, chunk: bytes) -> None:
        if self._exchange is not None:
            await self._exchange.send(chunk)

    async def _answer(self) -> None:
        """Once the request's body is through, wait for the end of the answer."""
        assert self._exchange is not None
        whole = await self._exchange.answered()
        if not whole and self._headers_written:
            self.detach().close()  # which shows that it broke off
        elif not whole and not self._gone:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                Unavailable(
                    f"{self._name} closed the connection without an answer",
                    why="its worker died or was replaced",
                    fix="send the request again",
                ),
            )

    get = head = post = put = patch = delete = web.authenticated(_answer)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._gone = True
        self.on_finish()

    def on_finish(self) -> None:
        if self._exchange is not None:
            self._exchange.close()

    # --- who gets in

    @cached_property
    def _brings_token(self) -> bool:
        """Whether the deployment's own token came along. It is taken out: it is none of the identity provider's."""
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        found = [compare_digest(given.strip().encode(), token.encode()) for token in self._tokens()]
        if any(found):
            del self.request.headers["Authorization"]
        return any(found)

    @cached_property
    def _is_no_foreign_page(self) -> bool:
        """Whether Jupyter's own token came along, or its XSRF token."""
        if self.token_authenticated:
            return True
        headers = self.request.headers
        if not (self.get_query_argument("_xsrf", "") or headers.get("X-XSRFToken") or headers.get("X-CSRFToken")):
            return False
        try:
            super().check_xsrf_cookie()
        except web.HTTPError:
            return False
        return True

    def check_xsrf_cookie(self) -> None:
        """The deployment's token is as good as the XSRF token: no foreign page knows it."""
        if not self._brings_token:
            super().check_xsrf_cookie()

    def get_login_url(self) -> str:
        """A person is sent to log in, a program is told so."""
        if "text/html" in self.request.headers.get("Accept", ""):
            return super(APIHandler, self).get_login_url()
        return super().get_login_url()

    async def _authorize(self) -> None:
        action = HTTP_METHOD_TO_AUTH_ACTION[str(self.request.method)]
        if not await ensure_async(self.authorizer.is_authorized(self, self.current_user, action, RESOURCE)):
            raise web.HTTPError(HTTPStatus.FORBIDDEN, f"you may not {action} {RESOURCE}")
        if self._brings_token or self._is_no_foreign_page:
            return
        headers = self.request.headers
        foreign = headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
        if foreign and headers.get("Sec-Fetch-Mode") != "navigate":
            raise Refused(
                HTTPStatus.FORBIDDEN,
                Forbidden(
                    "a page of another site may not ask a deployment through Jupyter", why="it has its cookie alone"
                ),
            )

    def _authorization(self, desired: Desired) -> str:
        """What the deployment sees: its own token where the caller is entitled to it, else what the caller sent."""
        if desired.auth and (self._brings_token or self._is_no_foreign_page):
            newest = next(iter(self._tokens()), "")
            return f"Bearer {newest}" if newest else ""
        given = self.request.headers.get("Authorization", "")
        return given if given.lower().startswith("bearer ") and not self.token_authenticated else ""

    def _tokens(self) -> dict[str, float]:
        """The deployment's tokens, the newest first; none where there is no such deployment."""
        try:
            return read_tokens(self._backend.store.token_file(self._name))
        except (AutodeployError, OSError):
            return {}

    # --- there and back

    @property
    def _backend(self) -> Backend:
        backend: Backend = self.settings[Backend.SETTING]
        return backend

    @property
    def _prefix(self) -> str:
        return f"{self.base_url}autodeploy/proxy/{self._name}"

    def _desired(self) -> Desired:
        try:
            desired = self._backend.store.desired(self._name)
        except BadInput as error:
            raise Refused(HTTPStatus.NOT_FOUND, error) from error
        except AutodeployError as error:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, error) from error
        if not url_of(desired):
            raise self._unavailable("it has not been started yet")
        return desired

    async def _begin(self, desired: Desired) -> None:
        address, method = address_of(desired), str(self.request.method)
        if "Transfer-Encoding" in self.request.headers and method not in _WITH_BODY:
            raise web.HTTPError(HTTPStatus.LENGTH_REQUIRED, "a body of this method needs its length")
        trusted = tls.trusted_file(desired.tls, self._backend.store.tls_folder(self._name)) if desired.tls else None
        query = without_ours(self.request.query)
        start = RequestStartLine(
            method, f"{address.path}{self._path or '/'}" + (f"?{query}" if query else ""), "HTTP/1.1"
        )
        headers = to_deployment(self.request.headers, address, self._authorization(desired), body=method in _WITH_BODY)

        async def head(start: ResponseStartLine, found: HTTPHeaders) -> None:
            self.set_status(start.code, start.reason or None)
            self._set_headers(found, to_browser(found, address, self._path, self._prefix))
            await self.flush()

        async def chunk(data: bytes) -> None:
            self.write(data)
            await self.flush()

        try:
            self._exchange = await Exchange.begin(Target(address, trusted), start, headers, Receiver(head, chunk))
        except OSError as error:
            cause = getattr(error, "real_error", None) or error
            raise self._unavailable(f"{type(cause).__name__}: {cause}") from error
        if self._gone:  # while it was connected
            self._exchange.close()

    def _set_headers(self, found: HTTPHeaders, kept: Iterable[tuple[str, str]]) -> None:
        self.clear_header("Content-Type")  # tornado's
        seen = {"content-security-policy"}  # policies add up, ours and theirs
        for name, value in kept:
            (self.add_header if name.lower() in seen else self.set_header)(name, value)
            seen.add(name.lower())
        if self._path != "/" or "Content-Security-Policy" not in found:
            self.add_header("Content-Security-Policy", _SANDBOX)
        elif "html" in found.get("Content-Type", ""):
            self.xsrf_token  # noqa: B018  # sees to the cookie that the try-it page then shows to be one of this server

    @property
    def content_security_policy(self) -> str:
        return super(APIHandler, self).content_security_policy

    def _unavailable(self, why: str) -> Refused:
        return Refused(
            HTTPStatus.SERVICE_UNAVAILABLE,
            Unavailable(
                f"{self._name} does not answer",
                why=why,
                fix=f"`%deploy status {self._name}` says how it is; `%deploy start {self._name}` starts it",
            ),
        )

    def write_error(self, status_code: int, **found: Any) -> None:
        """As a deployment tells its own refusals."""
        error = told(status_code, found.get("exc_info"))
        told_of = {"error": type(error).__name__, "message": error.what, "why": error.why, "fix": error.fix}
        self.set_status(status_code)
        self.finish(msgspec.json.encode({key: text for key, text in told_of.items() if text}))
