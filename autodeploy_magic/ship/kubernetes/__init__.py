"""Kubernetes: plain manifests for kustomize, a Helm chart, and KServe.

sizing.py        what a pod asks for, and when another is added: sums over what was measured
manifests.py     the container and its pod: image, environment, probes, security; Deployment, Service, account
network.py       who reaches it, and how it is reached from outside
scaling.py       autoscalers, and the budget of what may be away
alerts.py        ServiceMonitor and PrometheusRule, from the SLO line
whole.py         all of these together: what production is
reasons.py       the options, and what is refused before anything is written
checks.py        what schemas miss: selectors, ports, names, quantities (quantities.py), files that nobody lists
kustomize.py     `ship kubernetes` (kustomization.py)
helm.py, chart/  `ship helm`
kserve.py        `ship kserve`
readme.py        what the README of each says; their own parts are in kustomize_readme, helm_readme, kserve_readme
"""
