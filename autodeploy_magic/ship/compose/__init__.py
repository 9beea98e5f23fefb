"""`ship compose`: the image on one machine, with Prometheus, its rules, and a Grafana that shows what our panel shows.

compose.py     the target: which files, what stands in them
services.py    the services of docker-compose.yaml, each locked down
dashboard.py   Grafana's dashboard, made of the metrics that the page has
words.py       README.md and setup.sh
"""
