"""What is done about how deployments do.

operating.py  the operate loop of all of them: watched each second, told of, put right
hands.py      what recovery may do, done as if a person had asked for it
drills.py     faults caused for real; drill_load.py, the requests meanwhile
"""
