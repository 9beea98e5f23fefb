"""Deploy a notebook's model in one cell: `%load_ext autodeploy_magic`, then `%%deploy NAME`.

In Python: `dep = autodeploy_magic.deploy(model, "iris", sample=X)`; later: `autodeploy_magic.attach("iris")`.
Everything here is loaded when it is first asked for: importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from autodeploy_magic.errors import AutodeployError
    from autodeploy_magic.notebook.deployment import Deployment, attach
    from autodeploy_magic.notebook.deployment import list_deployments as list  # the verb's name
    from autodeploy_magic.notebook.doctor import doctor
    from autodeploy_magic.notebook.flow import deploy

__all__ = [
    "AutodeployError",
    "Deployment",
    "__version__",
    "attach",
    "deploy",
    "doctor",
    "list",
    "load_ipython_extension",
    "unload_ipython_extension",
]

__version__ = "0.1.0"

_LAZY = {
    "AutodeployError": "autodeploy_magic.errors:AutodeployError",
    "Deployment": "autodeploy_magic.notebook.deployment:Deployment",
    "attach": "autodeploy_magic.notebook.deployment:attach",
    "deploy": "autodeploy_magic.notebook.flow:deploy",
    "doctor": "autodeploy_magic.notebook.doctor:doctor",
    "list": "autodeploy_magic.notebook.deployment:list_deployments",
}
"""Public name → where it lives. The verbs among them are those of `verbs.VERBS` (a test compares the two)."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from autodeploy_magic.registry import load

    globals()[name] = value = load(_LAZY[name])
    return value


def __dir__() -> list[str]:  # type: ignore[valid-type]  # the public name `list` is the verb
    return sorted(__all__)


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register `%deploy`, `%%deploy` and their completion; `%load_ext autodeploy_magic` calls it."""
    from autodeploy_magic.notebook.magics import register

    register(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take the magics and their completion away again. Deployments keep serving."""
    from autodeploy_magic.notebook.magics import unregister

    unregister(ipython)
