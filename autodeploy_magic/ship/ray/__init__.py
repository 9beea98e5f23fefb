"""A Ray cluster: the same app as replicas of Ray Serve, deployed over the cluster's dashboard, without Ray itself here.

dashboard.py     the REST calls
package.py       the version's files as a package that the cluster fetches
distributions.py what the cluster's Python must have
scaling.py       how many replicas, from the SLO
application.py   the application as Ray Serve is told it
rollout.py       declaring it beside others that are there, waiting, taking it away
words.py         what Ray Serve says of it, in words
ray_local.py     a cluster on this machine
ray_target.py    `ship ray`
"""
