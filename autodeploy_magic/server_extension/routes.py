"""Path → handler, below the server's base URL."""

from __future__ import annotations

from jupyter_server.utils import url_path_join
from tornado.web import RequestHandler

from autodeploy_magic.server_extension.hello import HelloHandler
from autodeploy_magic.server_extension.live import LiveHandler
from autodeploy_magic.server_extension.proxy import ProxyHandler
from autodeploy_magic.server_extension.relay import RelayHandler

__all__ = ["routes"]

_ROUTES: tuple[tuple[str, type[RequestHandler]], ...] = (
    (r"/autodeploy/api/hello", HelloHandler),
    (r"/autodeploy/api/.*", RelayHandler),
    (r"/autodeploy/live", LiveHandler),
    (r"/autodeploy/proxy/.*", ProxyHandler),
)


def routes(base_url: str) -> list[tuple[str, type[RequestHandler]]]:
    """As tornado's `add_handlers` takes them. The first that fits answers."""
    return [(url_path_join(base_url, path), handler) for path, handler in _ROUTES]
