"""Tab completion on a `%deploy` or `%%deploy` line: verbs, options, choices, deployments and variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autodeploy_magic import verbs
from autodeploy_magic.errors import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["proposals", "register", "unregister"]

SHELL_NAMES = frozenset({"In", "Out", "exit", "quit", "open", "get_ipython"})
"""What IPython itself puts into the namespace."""


def register(shell: InteractiveShell) -> None:
    """Complete `%deploy` lines in this shell."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher(identifier="autodeploy_magic.deploy", priority=200)  # type: ignore[untyped-decorator]
    def deploy_matcher(context: CompletionContext) -> SimpleMatcherResult:
        found = proposals(context.line_with_cursor[: context.cursor_position], shell.user_ns)
        if found is None:
            return {"completions": []}
        kind, words = found
        matching = [SimpleCompletion(word, type=kind) for word in words if word.startswith(context.token)]
        return {"completions": matching, "suppress": bool(matching), "ordered": True}

    unregister(shell)
    shell.Completer.custom_matchers.append(deploy_matcher)


def unregister(shell: InteractiveShell) -> None:
    """Stop completing `%deploy` lines."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [m for m in matchers if getattr(m, "matcher_identifier", "") != "autodeploy_magic.deploy"]


def proposals(line: str, namespace: Mapping[str, Any]) -> tuple[str, list[str]] | None:
    """Return what can stand at the end of `line` (up to the cursor), with its kind; None where the line is not ours."""
    words = line.split()
    if not words or words[0] not in ("%deploy", "%%deploy"):
        return None
    done = words[1:] if line[-1:].isspace() else words[1:-1]
    if line.strip() in ("%deploy", "%%deploy") and not line[-1:].isspace():
        return None  # the magic's own name is IPython's to complete
    typed = "" if line[-1:].isspace() else words[-1]
    if words[0] == "%%deploy":
        done = ["deploy", *done]
    if not done:
        return "verb", list(verbs.on("magic"))
    verb = verbs.on("magic").get(done[0])
    return None if verb is None else _after_verb(verb, done[1:], typed, namespace)


def _after_verb(verb: verbs.Verb, done: list[str], typed: str, namespace: Mapping[str, Any]) -> tuple[str, list[str]]:
    options = verb.options_on("magic")
    before = next((option for option in options if done and option.flag == done[-1]), None)
    if before is not None and before.kind not in ("flag", "switch"):
        return _values(before, namespace)
    if (
        any(option.kind == "name" for option in options)
        and not _positional(options, done)
        and not typed.startswith("-")
    ):
        return "deployment", _names()
    flags = [flag for o in options if not o.positional and not set(o.flags) & set(done) for flag in o.flags]
    return "option", [*flags, "--help"]


def _positional(options: tuple[verbs.Option, ...], done: list[str]) -> list[str]:
    """The words that are neither options nor their values."""
    taking = {option.flag for option in options if option.kind not in ("flag", "switch")}
    return [word for i, word in enumerate(done) if not word.startswith("-") and (i == 0 or done[i - 1] not in taking)]


def _values(option: verbs.Option, namespace: Mapping[str, Any]) -> tuple[str, list[str]]:
    if option.choices:
        return "value", list(option.choices)
    if option.kind == "object" or option.name == "out":
        return "instance", [name for name, value in namespace.items() if _is_offered(option.name, name, value)]
    return "value", []


def _is_offered(option: str, name: str, value: Any) -> bool:
    """Whether a variable could be what the option asks for; told by its type alone, without touching its data."""
    if (
        name.startswith("_")
        or type(value).__name__ == "module"
        or name in ("In", "Out", "exit", "quit", "open", "get_ipython")
    ):
        return False
    if option == "model":
        return callable(value) or hasattr(type(value), "predict")
    if option == "out":
        return not callable(value)
    return hasattr(type(value), "shape") or isinstance(value, list | dict | tuple)


def _names() -> list[str]:
    from autodeploy_magic.store import Store

    try:
        return Store().names()
    except StoreFailed:
        return []  # a verb will say so; a completion has nowhere to
