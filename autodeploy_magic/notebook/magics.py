"""%deploy and %%deploy: the table of verbs, in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

# Any process that loads an extension has imported IPython already.
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand  # noqa: TID253
from traitlets import Any as AnyTrait

from autodeploy_magic import settings, slo, verbs
from autodeploy_magic.errors import AutodeployError, BadInput, CellFailed, InvalidOption
from autodeploy_magic.notebook.screen import show, show_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

    from autodeploy_magic.notebook.asked import Order

__all__ = ["DeployMagics", "register", "unregister"]

F = TypeVar("F", bound=Callable[..., Any])


def told_plainly(method: F) -> F:
    """Show an error of ours as what, why and fix; the frames are this package's own and tell the reader nothing."""

    @wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except AutodeployError as error:
            lines = _lines(error)
            error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]  # IPython asks the exception for it
            raise

    return wrapper  # type: ignore[return-value]


@magics_class
class DeployMagics(Magics):
    """`%deploy` and `%%deploy`. Each setting is a trait: `%config DeployMagics.workers = 2`."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.add_traits(
            **{knob.name: AnyTrait(knob.default, help=knob.help).tag(config=True) for knob in settings.KNOBS.values()}
        )
        self.observe(self._choose, names=list(settings.KNOBS))
        self._load_config(self.config)

    @no_var_expand
    @line_magic("deploy")  # type: ignore[arg-type]  # its annotation takes no method
    @told_plainly
    def line(self, line: str) -> None:
        words = verbs.split(line)
        if not words:
            words = ["list"]
        if words[0] in ("--help", "-h", "help"):
            show_text(verbs.main_help("%deploy", "magic"))
            return
        if words[0] == "deploy":
            self._deploy(words[1:], "", "%deploy deploy")
            return
        verb = self._verb(words)
        parser = verbs.parser(verb, "magic", f"%deploy {verb.name}")
        values = verbs.parse(parser, words[1:])
        if "help" in values:
            show_text(parser.format_help())
            return
        out = values.pop("out", None)
        _check_out(out)
        for option in verb.options_on("magic"):
            if option.kind == "object" and values[option.name] is not None:
                values[option.name] = self._variable(option.name, values[option.name])
        answer = verbs.call(verb, values)
        if out is not None:
            self._shell.user_ns[out] = answer
        show(answer)

    def _variable(self, option: str, name: str) -> Any:
        from autodeploy_magic.notebook import cell as cells

        return cells.variable(option, name, self._shell.user_ns)

    @no_var_expand
    @cell_magic("deploy")  # type: ignore[arg-type]
    @told_plainly
    def cell(self, line: str, cell: str) -> None:
        self._deploy(verbs.split(line), cell, "%%deploy")

    def _deploy(self, words: list[str], cell: str, typed: str) -> None:
        from autodeploy_magic.notebook.asked import check_access, check_beside, check_place
        from autodeploy_magic.notebook.flow import connecting, launch
        from autodeploy_magic.store import Store, check_name

        parser = verbs.cell_parser()
        values = verbs.parse(parser, words)
        if "help" in values:
            show_text(parser.format_help())
            return
        check_name(values["name"])
        _check_out(values["out"])
        line = f"{typed} {' '.join(words)}"
        self._check_names(values, cell, line)
        store = Store()
        slo.parse(values["slo"] or "")
        check_place(values["target"], values["address"])
        check_access(store, values["name"], values["auth"], values["tls"])
        check_beside(store, values["name"], values["canary"], shadow=values["shadow"])
        supervisor = connecting(store)  # it starts and warms up while the cell's own code runs
        result = self._run(cell)
        order = self._order(values, cell, result, line)
        try:
            answer = launch(order, store, supervisor, dry_run=values["dry_run"], quiet=values["quiet"])
        except KeyboardInterrupt:
            # A swap happens whole or not at all, in another process; whether it had begun, that process knows.
            raise CellFailed(f"interrupted; `%deploy status {order.name}` tells which version serves") from None
        if values["out"]:
            self._shell.user_ns[values["out"]] = answer
        if not values["quiet"]:
            show(answer)

    def _check_names(self, values: dict[str, Any], cell: str, line: str) -> None:
        """Refuse before the cell runs what its running cannot mend: nobody trains for an hour to learn of a typo."""
        from autodeploy_magic.notebook import cell as cells

        namespace = self._shell.user_ns
        if values["sample"] is None:
            raise cells.missing_sample(values["name"], namespace.get(values["model"] or ""), namespace, line)
        cells.check_file(values["file"], cell)
        for option in ("model", "sample", "labels"):
            name = values[option]
            if name is not None and not cells.mentions(cell, name):
                cells.variable(option, name, namespace)

    def _run(self, cell: str) -> ExecutionResult | None:
        """Run the cell as the cell it is; where it fails, its own traceback has been shown and nothing is deployed."""
        if not cell.strip():
            return None
        self._refuse_await(cell)
        result: ExecutionResult = self._shell.run_cell(cell, store_history=False)  # type: ignore[no-untyped-call]
        failure = result.error_before_exec or result.error_in_exec
        if isinstance(failure, KeyboardInterrupt):
            raise CellFailed("interrupted while the cell ran; nothing was deployed")
        if failure is not None:
            raise CellFailed(f"the cell raised {type(failure).__name__}; nothing was deployed")
        return result

    def _refuse_await(self, cell: str) -> None:
        import asyncio

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # plain IPython: run_cell brings a loop of its own
        transformed = self._shell.transform_cell(cell)  # type: ignore[no-untyped-call]
        if self._shell.should_run_async(cell, transformed_cell=transformed):
            raise BadInput(
                "the cell awaits at its top level, which a cell of this magic cannot do; nothing was run",
                why="the kernel's event loop is busy running the magic itself",
                fix="await in a cell before this one, and use the result here",
            )

    def _order(self, values: dict[str, Any], cell: str, result: ExecutionResult | None, typed: str) -> Order:
        from autodeploy_magic.notebook import cell as cells
        from autodeploy_magic.notebook.asked import Order

        namespace = self._shell.user_ns
        written = cells.read(self._shell.transform_cell(cell))  # type: ignore[no-untyped-call]
        found = {
            option: cells.variable(option, values[option], namespace)
            for option in ("model", "sample", "labels")
            if values[option] is not None
        }
        if "model" not in found and values["file"] is None:
            from autodeploy_magic.build import find_model

            last: Any = getattr(result, "result", None)
            if last is None and written.last_name:  # `model;` is the model too, quietly
                last = namespace.get(written.last_name)
            assigned = [name for name in written.assigned if name in namespace]
            _, found["model"] = find_model(namespace, assigned, last)
        return Order(
            name=values["name"],
            model=found.get("model"),
            sample=found.get("sample"),
            labels=found.get("labels"),
            file=values["file"],
            allow_pickle=values["allow_pickle"],
            format=values["format"],
            workers=values["workers"],
            port=values["port"],
            auth=values["auth"],
            tls=values["tls"],
            grpc=values["grpc"],
            slo=values["slo"],
            recovery=values["recovery"],
            canary=values["canary"],
            shadow=values["shadow"],
            record=values["record"],
            record_share=values["record_share"],
            record_drop=values["record_drop"],
            record_hash=values["record_hash"],
            note=values["note"],
            code=cells.functions(written, namespace),
            namespace=namespace,
            typed=typed,
        )

    def _verb(self, words: list[str]) -> verbs.Verb:
        try:
            return verbs.find(words[0], "magic")
        except InvalidOption as error:
            options = {option.flag for option in verbs.VERBS["deploy"].options if not option.positional}
            if not error.why and any(word.partition("=")[0] in options for word in words[1:]):
                typed = " ".join(words)
                raise InvalidOption(
                    f"%deploy takes a verb, and {words[0]!r} is none",
                    why="it looks like a deployment to make",
                    fix=f"`%%deploy {typed}` as the first line of a cell, or `%deploy deploy {typed}`",
                ) from None
            raise

    @property
    def _shell(self) -> InteractiveShell:
        assert self.shell is not None
        return self.shell

    def _choose(self, change: Any) -> None:
        settings.set_option(change["name"], change["new"])


# What `%deploy?` and `%%deploy?` show is what `--help` shows.
vars(DeployMagics)["line"].__doc__ = f"Look after deployments.\n\n{verbs.main_help('%deploy', 'magic')}\n"
vars(DeployMagics)["cell"].__doc__ = f"Deploy the model that this cell makes.\n\n{verbs.cell_parser().format_help()}"


def with_body(lines: list[str]) -> list[str]:
    """Give a cell that is one `%%deploy` line a body: IPython refuses cell magics without, and `--model` needs none."""
    if len(lines) == 1 and lines[0].split(None, 1)[:1] == ["%%deploy"]:
        return [lines[0].rstrip("\n") + "\n", "\n"]
    return lines


def register(shell: InteractiveShell) -> None:
    """Add the magics and their completion to a shell."""
    from autodeploy_magic.notebook import completion

    shell.register_magics(DeployMagics(shell))
    shell.input_transformers_cleanup.append(with_body)
    completion.register(shell)


def unregister(shell: InteractiveShell) -> None:
    """Take the magics and their completion away, and what they have called at the end of cells."""
    from autodeploy_magic.notebook import completion, picture

    completion.unregister(shell)
    picture.forget()
    if with_body in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.remove(with_body)
    manager = shell.magics_manager
    for kind in ("line", "cell"):
        manager.magics[kind].pop("deploy", None)
    registered = manager.registry.pop("DeployMagics", None)
    if registered in shell.configurables:
        shell.configurables.remove(registered)


def _check_out(name: str | None) -> None:
    if name is not None and not name.isidentifier():
        raise InvalidOption(f"--out {name!r} is not the name of a variable", fix="use a name such as dep")


def _lines(error: AutodeployError) -> list[str]:
    if isinstance(error, CellFailed):
        return [error.what]
    lines = [f"\x1b[31;1m{type(error).__name__}\x1b[0m: {error.what}"]
    lines += [f"  \x1b[2mwhy\x1b[0m  {error.why}"] if error.why else []
    lines += [f"  \x1b[32mfix\x1b[0m  {error.fix}"] if error.fix else []
    return lines
