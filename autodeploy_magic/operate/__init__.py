"""TRAFFIC → BETTER: what becomes of a deployment while it serves.

observe ──▶ detect ──▶ alert ──▶ recover ──▶ retune ──▶ promote
what it takes, what is    who is    what is done    a better   the better one,
and does       wrong      told      about it        version    or back

observe/       what a deployment takes of the machine, written down each second, and the points shown live
watch/         every second: all detectors of all deployments, and what they find
slo/           what the SLO line promises: error budgets and burn rates, thresholds, objectives that are learned
quality/       how right it answers, from labels, and from the model's own confidence before there are any
detect/        one file a kind of fault
alert/         faults become alerts, and reach people
recover/       what is done about them: the policy, the actions, the incidents
retune/        a better version: candidates made, measured, judged, and one of them chosen
repro.py       an incident's request, as a cell
"""
