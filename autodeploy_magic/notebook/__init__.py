"""What the person touches: the magics in a kernel, the handle in Python, and the same verbs in a terminal.

    magics.py       %deploy and %%deploy
    cell.py         what a deploy cell assigned and defined
    completion.py   tab completion of verbs, options, deployments and variables
    flow.py         deploy(): build → compare → serve → first prediction
    deployment.py   the handle: predict, versions, rollback, stop, …
    http.py         one keep-alive connection to a deployment
    compare.py      whether two answers say the same
    doctor.py       what could be wrong here, and what to do
    progress.py     the named steps, in a notebook or a terminal
    result.py       the card of a deployment, and of what a deploy did
    views.py        what the other verbs answer, each drawn as HTML and as text
    snippets.py     how to call it with curl, Python and JavaScript
    html.py         the few elements all of these are drawn with; style.py, their style; text.py, how numbers read
    screen.py       where output goes: a cell, or a terminal

It sees the floor, `build` and the supervisor's client, nothing else.
"""
