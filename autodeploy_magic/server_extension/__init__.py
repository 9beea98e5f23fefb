"""What a Jupyter Server adds for deployments: a browser reaches the supervisor, and the deployments, through it.

    browser ──{base_url}autodeploy/api/…──▶ relay ──▶ supervisor         calls, their progress as it comes
            ──{base_url}autodeploy/live───▶ live ◀── one stream for all  a WebSocket: points, glances, events
            ──{base_url}autodeploy/proxy/NAME/…──▶ the deployment's port for a browser that cannot reach 127.0.0.1

    GET /api/hello           {"result": {"release", "supervisor"}}, at once: that the extension is here
    GET POST DELETE /api/…   `Supervisor.page_call`, in JSON lines: {"progress"}, {"beat"}; then {"result"} or {"error"}
    GET /live[?names=a,b]    one `live.Message` a text frame; first the full picture, and again after a reconnect
    any /proxy/NAME/PATH     the deployment's own answer, headers and body, streamed both ways

None of it needs a kernel: a button works while the kernel computes. Looking starts no supervisor; a change of a
deployment that exists does.

Who gets in: whoever Jupyter lets in and its authorizer allows `read` (GET, the stream) or `write` (the rest) of
"autodeploy"; all of it is one person's. What a foreign page makes the person's browser send brings Jupyter's cookie
along, so a cookie alone is never enough to change anything:

- `/api` asks for Jupyter's XSRF token beside the cookie, as Jupyter's own API does, and `/live` looks at the origin.
- `/proxy` passes the deployment's own token on where it comes along: no foreign page knows it, so it is proof enough.
  It adds the token where the caller showed that it is no foreign page: by Jupyter's token (a program of the same
  person) or by the XSRF token (a page of this server, which could as well run code). With nothing but the cookie the
  request goes on without a token, to be answered 401 by a deployment that asks for one; and only if it reads, and does
  not come from a page of another site, since a deployment may ask for none.
- Jupyter's cookies and tokens never reach a deployment, nor its cookies the browser. What a deployment answers is shown
  in a sandbox, so that no page of it runs with the rights of this server; but for the try-it page, whose own policy
  allows nothing but its own script. Redirects stay below /proxy/NAME/, and what other origins may read is Jupyter's to
  say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

__all__: list[str] = []


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Where Jupyter Server finds the extension; it asks at every start, so nothing more is imported here."""
    return [{"module": "autodeploy_magic.server_extension"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    """Add the handlers. No folder is made and no process looked for before a browser asks."""
    from autodeploy_magic.server_extension.backend import Backend
    from autodeploy_magic.server_extension.routes import routes

    server.web_app.settings[Backend.SETTING] = Backend()
    server.web_app.add_handlers(  # type: ignore[no-untyped-call]
        ".*$", routes(server.web_app.settings["base_url"])
    )
