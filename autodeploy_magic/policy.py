"""What recovery does about which fault: the table, in words; `operate.recover` knows when a rule applies.

The steps of a rule are tried in their order. One that is marked "act" is taken where a deployment's recovery is at
"act"; one that is marked "suggest" waits for a person whatever that says.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["POLICY", "Rule", "Step"]


class Step(NamedTuple):
    """An action of `registry.ACTIONS`, whether it is taken or only suggested, and why."""

    action: str
    mode: Literal["act", "suggest"]
    reason: str


class Rule(NamedTuple):
    """A kind of fault. `when` says in words when it applies."""

    name: str
    when: str
    steps: tuple[Step, ...]


POLICY: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            "worker_stuck",
            "a worker is stopped, or does not answer though it runs",
            (Step("end_worker", "act", "it answers nobody, and its replacement serves within a second"),),
        ),
        Rule(
            "canary",
            "a fault of the version that is being tried, and not of the champion",
            (Step("end_trial", "act", "the champion answers everything as before"),),
        ),
        Rule(
            "bad_version",
            "soon after a swap workers crash in a loop, a given SLO breaks, or 5 % of the answers fail",
            (Step("roll_back", "act", "the version before was fine, and is still kept"),),
        ),
        Rule(
            "suspect_version",
            "soon after a swap something is unusual, or an objective breaks that was learned",
            (Step("roll_back", "suggest", "the swap is the likely cause, and not the only possible one"),),
        ),
        Rule(
            "crash_loop",
            "workers crash in a loop, with no swap before it",
            (Step("restart", "suggest", "it helps only once what ends them is mended"),),
        ),
        Rule(
            "leak",
            "memory grows without end",
            (Step("restart", "act", "fresh workers begin small; no request is lost"),),
        ),
        Rule(
            "memory",
            "memory is over its objective, or unusual",
            (
                Step("restart", "act", "what was not given back is free then"),
                Step("fewer_workers", "suggest", "each has its own copy of the model; fewer answer less at a time"),
            ),
        ),
        Rule(
            "demand",
            "answers are late, refused or wait, and the processors or the queue tell of more work than before",
            (
                Step("scale_up", "act", "the machine has processors and memory free"),
                Step("shed_load", "act", "nothing is free: those who wait longest are better refused at once"),
                Step("bigger_batches", "suggest", "more rows in one run answer more a second, each a little later"),
                Step("one_thread", "suggest", "workers that share processors get in each other's way"),
                Step("longer_queue", "suggest", "a burst is answered late in place of refused"),
                Step("retune", "suggest", "a smaller or quicker form of the model may do the same work"),
            ),
        ),
        Rule(
            "idle",
            "what recovery added is not needed any more",
            (Step("give_back", "act", "as many workers and as long a queue as the person wanted"),),
        ),
        Rule(
            "disk",
            "the disk is filling",
            (Step("trim", "act", "versions that nothing uses can be built again"),),
        ),
        Rule(
            "spoilt",
            "answers fail now, or break a given SLO of latency on a machine that has cores free; no swap, no more work",
            (Step("restart", "act", "what a worker has come to carry along is gone then"),),
        ),
        Rule(
            "errors",
            "answers fail, with no swap before it",
            (Step("roll_back", "suggest", "an older version may do better, or meet the same cause"),),
        ),
        Rule(
            "aged",
            "inputs or answers are not what the model was made for, or it is less right",
            (Step("retune", "suggest", "the model wants newer data; `retune_incidents` has it done without asking"),),
        ),
    )
}
"""Rules by name, in the order in which they are looked at."""
