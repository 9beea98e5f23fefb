"""Every verb there is."""

from __future__ import annotations

from autodeploy_magic.verbs.words import Option, Verb

__all__ = ["VERBS"]

_FLOW = "autodeploy_magic.notebook.flow"
_HANDLE = "autodeploy_magic.notebook.deployment"

NAME = Option("name", "the deployment", "name", positional=True, required=True)
OUT = Option("out", "variable that the handle is put into", only="magic")  # in Python it is what the call returns


def _code(name: str, signature: str) -> Option:
    return Option(name, f"{signature}; in a cell, define a function of that name", "object", only="python")


def _last(default: str) -> Option:
    return Option("last", "how far back: 90s, 15m, 1h, 24h, 7d", default=default)


def _on(name: str, text: str, *options: Option) -> Verb:
    return Verb(name, text, f"{_HANDLE}:Deployment.{name}", (NAME, *options))


_DEPLOY = (
    NAME,
    Option("model", "the model; in a cell, default what its last line is, or its one fitted model", "object"),
    Option("file", "the model as a file or folder, or MLflow's models:/NAME/1; weights alone go into --model"),
    Option("allow_pickle", "read a --file that runs code while it is read", "flag", default=False),
    Option("sample", "rows like those that requests will send: they fix the signature", "object"),
    Option("labels", "the true answers of the sample's rows", "object"),
    Option("format", "how the model is stored", default="auto", choices=("auto", "onnx", "native")),
    Option("workers", "worker processes", "int"),
    Option("port", "the port of the URL; kept from then on", "int"),
    Option("auth", "whether requests need the token; --no-auth is for this machine alone", "switch"),
    Option("tls", "HTTPS: auto makes a certificate, or FILE, or CERTIFICATE,KEY; off ends it", bare="auto"),
    Option("grpc", "open a port for gRPC besides; --no-grpc closes it", "switch"),
    Option("slo", "what it promises: 'p99<50ms, errors<0.1%'; learn, or off; kept from then on"),
    Option("recovery", "what is done about faults by itself; kept from then on", choices=("off", "suggest", "act")),
    Option("target", "what serves; kept from then on", choices=("local", "container", "ray")),
    Option("address", "of --target ray: the dashboard of a cluster, http://HOST:8265; default one made here"),
    Option("canary", "give the new version this share of the requests, beside the champion: 10%"),
    Option("shadow", "give the new version copies of the requests", "flag", default=False),
    Option("record", "what is kept of requests; kept from then on", choices=("all", "inputs", "off")),
    Option("record_share", "the share of those requests that is kept: 10%"),
    Option("record_drop", "columns whose values are not kept: ssn,name; of an array by position: 0,3"),
    Option("record_hash", "columns of which keyed hashes are kept in place of the values"),
    Option("note", "a line to remember the version by", default=""),
    Option("dry_run", "say what would happen, and change nothing", "flag", default=False),
    Option("quiet", "show errors only", "flag", default=False),
    OUT,
    _code("preprocess", "preprocess(x)"),
    _code("predict", "predict(model, x)"),
    _code("postprocess", "postprocess(y)"),
    _code("retrain", "retrain(model, X, y), the model trained further, for re-tuning"),
)

_WORKERS = Option("workers", "how many", "int", positional=True, required=True)
_FAULT = Option(
    "kind", "which one", positional=True, required=True, choices=("kill", "hang", "leak", "slow", "errors", "disk")
)
_IMAGE = (
    Option("engine", "docker, podman, nerdctl, buildah, buildctl, or archive for none; default the first that answers"),
    Option("flavour", "what is in it: lean, or all that BentoML brings; default what the version needs"),
    Option("base", "the image that a lean one stands on, or an archive of one; default python:3.X-slim-bookworm"),
    Option("tag", "what it is called; default NAME:vN"),
    Option("platform", "linux/amd64 or linux/arm64; default this machine's"),
    Option("to", "the folder of an archive; default here"),
    Option("cancel", "end what is being built or shipped; nothing is left of it", "flag", default=False),
)
_SHIP = (
    Option("target", "where to; without one, the targets and their options are shown", positional=True),
    Option("to", "the folder that is written; default NAME-TARGET here"),
    Option("image", "the image to name: registry.example.com/team/iris:v3; default the one built last"),
    Option("set_", "the target's own options: replicas=3,namespace=ml"),
    Option("replace", "write over what was shipped there before", "flag", default=False),
    Option("github", "of ci: for GitHub Actions", "flag", default=False),
    Option("gitlab", "of ci: for GitLab", "flag", default=False),
    Option("jenkins", "of ci: for Jenkins", "flag", default=False),
    Option("cancel", "end what is being built or shipped; nothing is left of it", "flag", default=False),
)
_RETUNE = (
    Option("goal", "what is wanted", default="auto", choices=("auto", "latency", "size", "quality")),
    Option("budget", "how long it may take: 30s, 5m, 1h", default="5m"),
    Option("max_loss", "how much worse the answers may be: 0.5% or 0.005", default="0.5%"),
    Option("promote", "serve what is better at once, or wait for a word", default="ask", choices=("ask", "auto")),
    Option("seed", "of everything that is drawn by chance", "int", default=0),
    Option("data", "rows to train with, kept for later re-tunes too", "object"),
    Option("labels", "the true answers of these rows", "object"),
    Option("background", "do not wait for it: the panel and --show tell how it goes", "flag", default=False),
    Option("cancel", "end the one that runs; nothing is changed then", "flag", default=False),
    Option("show", "earlier ones, or the one of this id", bare="all"),
    Option("take", "serve this candidate, c3, of the last one or of --show ID"),
    Option("undo", "serve again what was served before it, of the last one or of this id", bare="last"),
    Option("replay", "do the one of this id again, with its own data, settings and seed"),
)

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "deploy",
            "build, verify and serve a model; again under the same name: a new version at the same URL",
            f"{_FLOW}:deploy",
            _DEPLOY,
        ),
        _on("status", "how one deployment is: its URL, version, workers"),
        Verb("list", "all deployments", f"{_HANDLE}:list_deployments"),
        Verb("attach", "a handle to a deployment made earlier, or elsewhere", f"{_HANDLE}:attach", (NAME, OUT)),
        _on(
            "test",
            "send rows of the sample, and show the answer and the time it took",
            Option("rows", "how many rows to send in one request", "int", default=1),
        ),
        _on(
            "explain",
            "what each column adds to the answers: Shapley values, as a plot",
            Option("rows", "the rows to explain; default the first of the sample", "object"),
            Option("method", "how", default="auto", choices=("auto", "shap", "permutation")),
            Option("target", "the class, by its position; default the one predicted", "int"),
        ),
        _on("logs", "the last lines of the workers' log", Option("lines", "how many lines", "int", default=200)),
        _on("versions", "the versions kept, and which one serves"),
        _on(
            "diff",
            "which predictions of two versions differ on the sample",
            Option("old", "a version; default the one served before", "int", positional=True),
            Option("new", "a version; default the one that serves", "int", positional=True),
        ),
        _on(
            "rollback",
            "serve an older version again, without building it",
            Option("version", "which one; default the one served before", "int", positional=True),
        ),
        _on(
            "canary",
            "let a version answer a share of the requests, beside the champion",
            Option("version", "which one; default the newest that is not the champion", "int", positional=True),
            Option("share", "its share of the requests, such as 10% or 0.1", default="10%"),
        ),
        _on(
            "shadow",
            "give a version copies of the requests, and compare its answers with the champion's",
            Option("version", "which one; default the newest that is not the champion", "int", positional=True),
        ),
        _on(
            "promote",
            "let the canary, the shadow or another version serve alone, as the champion",
            Option("version", "which one; default the canary or the shadow", "int", positional=True),
        ),
        _on(
            "traffic",
            "what each version is given, and how they compare",
            Option("off", "end canary and shadow", "flag", default=False),
        ),
        _on(
            "slo",
            "what it promises and how it keeps that; with a text: promise that from now on",
            Option("text", "such as 'p99<50ms, errors<0.1%, f1>0.9'; learn, or off for none", positional=True),
        ),
        _on(
            "quality",
            "how right it answers: figures with their intervals, per version, and where it is worse",
            Option("by", "a column: the figures for each of its values"),
        ),
        _on("drift", "whether the columns of the requests, and the answers, are still as they were"),
        _on(
            "incidents",
            "what was done about its faults, or is suggested: what fired, what was done, what came of it",
            Option("act", "do now what the incident of this id suggests"),
            Option("undo", "take back what was done in the incident of this id"),
        ),
        _on(
            "recovery",
            "what is done about which fault; with a word: that from now on",
            Option("mode", "off, suggest, or act", positional=True, choices=("off", "suggest", "act")),
        ),
        _on(
            "retune",
            "look for a faster, smaller or better version, and serve it only when proved",
            *_RETUNE,
        ),
        _on(
            "data",
            "what is recorded of its requests; export it, or delete it for good",
            Option("what", "what to do", default="show", positional=True, choices=("show", "export", "forget")),
            Option("file", "where the export is written, - to print it; default NAME-data.jsonl"),
            Option("before", "forget what is older than this alone: 24h, 7d"),
            Option("yes", "forget it without asking", "flag", default=False),
        ),
        _on("restart", "fresh workers, without a failed request"),
        _on("scale", "serve with another number of worker processes", _WORKERS),
        _on(
            "containerize",
            "build an image of the version that serves, and prove it",
            *_IMAGE,
        ),
        _on(
            "ship",
            "take the version that serves elsewhere: what a cluster, a cloud or a device needs",
            *_SHIP,
        ),
        _on(
            "mlflow",
            "log the version that serves to MLflow, as a model that answers the same",
            Option("run", "the run it is logged into; default the active one, or a new one"),
            Option("register", "also register it under this name"),
            Option("tracking", "the address of the tracking server; default what MLflow is set to"),
        ),
        _on(
            "metrics",
            "what it measured, as a table over time: requests, errors, latencies, CPU, memory",
            _last("1h"),
            Option("points", "most rows of the table", "int", default=60),
            Option("version", "what this version alone answered", "int"),
            Option("out", "variable that the table is put into", only="magic"),
        ),
        _on(
            "report",
            "a period on paper: figures, charts, events, versions and environment, as one file",
            _last("24h"),
            Option("format", "what it is; default what --file ends with, or html", choices=("html", "png", "pdf")),
            Option("file", "where it is written; default NAME-report.html here"),
        ),
        _on(
            "feedback",
            "say what the true answers were: to the last predict, or by ids; in the terminal a table of id, row, label",
            Option("ids", "the id of a request, or one for each label; default the last predict's", "object"),
            Option("labels", "the true answers of its rows; or a table with the columns id, row and label", "object"),
        ),
        _on(
            "alerts",
            "what is wrong with it now and was lately; silence it, or try the channels that tell of it",
            Option("silence", "tell nobody of this rule, drift or drift:COLUMN, or of all", bare="all"),
            Option("for_", "how long it is silent", default="1h"),
            Option("unsilence", "end the silence of a rule, or all there are", bare="all"),
            Option("test", "send a test message by every channel, and say whether it arrived", "flag", default=False),
        ),
        _on(
            "drill",
            "cause a fault for real, and measure how long until it is seen and put right",
            _FAULT,
            Option("seconds", "how long it may last; default what is usual for it", "int"),
        ),
        _on(
            "repro",
            "write a cell that sends an incident's failing request through the live object",
            Option("incident", "its number, as `incidents` lists it", positional=True, required=True),
        ),
        _on("stop", "stop serving; versions, token and port are kept"),
        _on("start", "serve again after a stop"),
        _on(
            "rm",
            "remove the deployment with all its versions",
            Option("versions", "remove only the versions that are not in use", "flag", default=False),
        ),
        _on("open", "the deployment's page in a browser"),
        _on("panel", "the live panel: charts and buttons, in a notebook"),
        Verb(
            "watch",
            "all deployments live in the terminal, or one of them; q ends it",
            "autodeploy_magic.notebook.watch.run:watch",
            (
                Option("name", "the deployment; default all of them", "name", positional=True),
                Option("once", "look once, and print it", "flag", default=False),
            ),
            only="terminal",
            instead="`%deploy panel NAME` shows a deployment live in the notebook",
        ),
        Verb(
            "token",
            "how requests get in, and a new token where the old one is known to too many",
            f"{_HANDLE}:Deployment.access",
            (
                NAME,
                Option("rotate", "make a new token", "flag", default=False),
                Option("grace", "seconds that the old token stays good for", "int", default=0),
                Option("show", "write the token itself, which a saved notebook then holds", "flag", default=False),
            ),
        ),
        Verb(
            "doctor",
            "check packages, state, supervisor and deployments; NAME: its environment, built anew from its Bento alone",
            "autodeploy_magic.notebook.doctor:doctor",
            (
                Option("name", "build the environment of this deployment's version anew", "name", positional=True),
                Option(
                    "restart",
                    "begin the supervisor anew, with the variables and groups that are here; what serves goes on",
                    "flag",
                    default=False,
                ),
            ),
        ),
    )
}
