"""One table, three surfaces: `%deploy VERB`, `autodeploy VERB` and the Python names agree in names and options."""

from __future__ import annotations

import inspect
import re

import pytest

import autodeploy_magic
from autodeploy_magic import verbs
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.notebook.deployment import Deployment
from autodeploy_magic.registry import load
from autodeploy_magic.verbs import VERBS, Verb

ALL = list(VERBS.values())
IN_PYTHON = [verb for verb in ALL if verb.is_on("python")]


def python_member(verb: Verb) -> object:
    if not verb.of_deployment:
        return load(verb.handler)
    return inspect.getattr_static(Deployment, verb.handler.rpartition(".")[2])


def python_options(verb: Verb) -> dict[str, object]:
    """The parameters of the Python function, with their defaults; a method's `self` is the deployment's name."""
    member = python_member(verb)
    if isinstance(member, property):
        return {"name": inspect.Parameter.empty}
    parameters = inspect.signature(member).parameters  # type: ignore[arg-type]
    names = ["name" if name == "self" else name for name in parameters]
    return dict(zip(names, (p.default for p in parameters.values()), strict=True))


def help_of(verb: Verb, surface: verbs.Surface) -> str:
    return verbs.parser(verb, surface, verb.name).format_help()


def test_the_issue_s_verbs_are_all_there() -> None:
    assert list(VERBS) == [
        *("deploy", "status", "list", "attach", "test", "explain", "logs", "versions", "diff"),
        *("rollback", "canary", "shadow", "promote", "traffic", "slo", "quality", "drift", "incidents"),
        *(
            "recovery",
            "retune",
            "data",
            "restart",
            "scale",
            "containerize",
            "ship",
            "mlflow",
            "metrics",
            "report",
            "feedback",
            "alerts",
        ),
        *("drill", "repro", "stop", "start", "rm", "open", "panel", "watch", "token", "doctor"),
    ]


@pytest.mark.parametrize("verb", IN_PYTHON, ids=lambda verb: verb.name)
def test_python_has_the_verb_with_the_same_options_and_defaults(verb: Verb) -> None:
    wanted = {option.name: option.default for option in verb.options_on("python")}
    given = python_options(verb)
    assert set(given) == set(wanted)
    optional = {name: default for name, default in given.items() if default is not inspect.Parameter.empty}
    assert optional == {name: wanted[name] for name in optional}


@pytest.mark.parametrize("verb", IN_PYTHON, ids=lambda verb: verb.name)
def test_python_names_it_as_a_person_finds_it(verb: Verb) -> None:
    owner = Deployment if verb.of_deployment else autodeploy_magic
    assert hasattr(owner, verb.name)
    assert inspect.getdoc(python_member(verb))


def test_the_package_exports_no_verb_that_is_not_in_the_table() -> None:
    handlers = {verb.name: verb.handler for verb in IN_PYTHON if not verb.of_deployment}
    lazy = {name: path for name, path in autodeploy_magic._LAZY.items() if name.islower()}
    assert lazy == handlers


@pytest.mark.parametrize("surface", ["magic", "terminal"])
@pytest.mark.parametrize("verb", ALL, ids=lambda verb: verb.name)
def test_a_typed_verb_offers_the_options_of_the_table_and_explains_each(verb: Verb, surface: verbs.Surface) -> None:
    text = help_of(verb, surface)
    flags = set(re.findall(r"--[a-z][a-z-]*", text.partition("options:")[2])) - {"--help"}
    options = verb.options_on(surface)
    assert flags == {flag for option in options if not option.positional for flag in option.flags}
    flowing = " ".join(text.split())
    assert all(option.help in flowing for option in options)


@pytest.mark.parametrize("verb", ALL, ids=lambda verb: verb.name)
def test_the_surfaces_differ_only_where_the_table_says_so(verb: Verb) -> None:
    apart = {option.name for option in verb.options if option.only is not None}
    assert apart <= {"out", "preprocess", "predict", "postprocess", "retrain"}
    assert help_of(verb, "terminal") == help_of(verb, "terminal")


def test_deploy_can_be_told_where_to_serve_from() -> None:
    assert "target" in {option.name for option in VERBS["deploy"].options}


def test_words_become_the_python_names_and_types() -> None:
    parser = verbs.cell_parser()
    values = verbs.parse(parser, ["iris", "--sample", "X", "--workers", "2", "--dry-run"])
    assert values["name"] == "iris"
    assert values["sample"] == "X"
    assert values["workers"] == 2
    assert values["dry_run"] is True
    assert values["format"] == "auto"


def test_a_switch_is_on_or_off_or_left_as_it_is() -> None:
    parser = verbs.cell_parser()
    given = [verbs.parse(parser, ["iris", *words])["auth"] for words in ([], ["--auth"], ["--no-auth"])]
    assert given == [None, True, False]


def test_an_option_may_have_a_value_that_it_takes_where_none_is_typed() -> None:
    parser = verbs.cell_parser()
    given = [verbs.parse(parser, ["iris", *words])["tls"] for words in ([], ["--tls"], ["--tls", "off"])]
    assert given == [None, "auto", "off"]
    assert verbs.parse(parser, ["iris", "--tls", "--sample", "X"])["sample"] == "X"


def test_positional_versions_are_numbers() -> None:
    parser = verbs.parser(VERBS["diff"], "magic", "%deploy diff")
    assert verbs.parse(parser, ["iris", "1", "3"]) == {"name": "iris", "old": 1, "new": 3}
    assert verbs.parse(parser, ["iris"]) == {"name": "iris", "old": None, "new": None}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["iris", "--worker", "2"], "did you mean --workers?"),
        (["iris", "--sampel=X"], "did you mean --sample?"),
        (["iris", "--workers", "two"], "--workers: invalid int value: 'two'"),
        (["iris", "--format", "pickle"], "invalid choice: 'pickle'"),
        (["iris", "extra"], "'extra' is one word too many"),
        ([], "required: NAME"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_do(words: list[str], told: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        verbs.parse(verbs.cell_parser(), words)
    assert told in str(caught.value)
    assert "usage: %%deploy" in caught.value.fix


def test_a_wrong_verb_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidOption, match="did you mean 'rollback'"):
        verbs.find("rolback", "magic")


def test_a_verb_of_one_surface_is_on_no_other_which_says_what_does_the_same() -> None:
    assert "watch" in verbs.on("terminal")
    assert "watch" not in verbs.on("magic")
    assert " watch " in verbs.main_help("autodeploy", "terminal")
    assert " watch " not in verbs.main_help("%deploy", "magic")
    with pytest.raises(InvalidOption, match="for the terminal alone") as caught:
        verbs.find("watch", "magic")
    assert "%deploy panel" in caught.value.fix


def test_open_quotes_are_refused() -> None:
    with pytest.raises(InvalidOption, match="close the quotes"):
        verbs.split("iris --note 'half")
    assert verbs.split("iris --note 'a b'") == ["iris", "--note", "a b"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("metrics iris --last 1h   # a DataFrame", ["metrics", "iris", "--last", "1h"]),
        ("metrics iris # don't", ["metrics", "iris"]),
        ("iris --note 'fix # 12'", ["iris", "--note", "fix # 12"]),
        ("iris --note fix#12", ["iris", "--note", "fix#12"]),
        ("# nothing", []),
    ],
)
def test_a_comment_ends_a_line(line: str, words: list[str]) -> None:
    assert verbs.split(line) == words
