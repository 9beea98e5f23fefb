"""A version logged to MLflow, and what a person does with it next."""

from __future__ import annotations

from dataclasses import dataclass

from autodeploy_magic.contracts import Version
from autodeploy_magic.notebook.html import Markup, card, element, facts
from autodeploy_magic.notebook.views import View
from autodeploy_magic.store import Store

__all__ = ["LoggedModel", "logged"]


@dataclass(frozen=True)
class LoggedModel(View):
    """Where MLflow keeps a version: `uri` loads it, `registered` is its name in the registry ("" for none)."""

    name: str
    version: int
    uri: str
    run: str
    flavors: tuple[str, ...]
    tracking: str
    registered: str = ""

    def text(self) -> str:
        lines = [f"{self.name} v{self.version} is logged to MLflow"]
        return "\n".join([*lines, *(f"  {word:<11}{value}" for word, value in self._facts())])

    def html(self) -> Markup:
        rows = [(word, element("code", value)) for word, value in self._facts()]
        title = element("b", f"{self.name} v{self.version} is logged to MLflow")
        return card(title, facts(*rows), label=f"{self.name} in MLflow")

    def _facts(self) -> list[tuple[str, str]]:
        found = [("model", self.uri), ("run", self.run), ("flavors", ", ".join(self.flavors)), ("at", self.tracking)]
        found += [("registered", self.registered)] if self.registered else []
        return [*found, ("load it", f"mlflow.pyfunc.load_model({(self.registered or self.uri)!r}).predict(X)")]


def logged(store: Store, version: Version, run: str | None, register: str | None, tracking: str | None) -> LoggedModel:
    """Log a version to MLflow."""
    from autodeploy_magic.build.mlflow import log_version

    found = log_version(store, version, run=run, register=register, tracking=tracking)
    return LoggedModel(
        version.deployment, version.number, found.uri, found.run, found.flavors, found.tracking, found.registered
    )
