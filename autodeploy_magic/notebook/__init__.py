"""What the person touches: the magics in a kernel, the handle in Python, and the same verbs in a terminal.

    magics.py       %deploy and %%deploy
    cell.py         what a deploy cell assigned and defined
    completion.py   tab completion of verbs, options, deployments and variables
    flow.py         deploy(): build → compare → serve → first prediction
    deployment.py   the handle: predict, versions, rollback, stop, …
    http.py         one keep-alive connection to a deployment
    compare.py      whether two answers say the same
    doctor.py       what could be wrong here, and what to do; doctor_version.py, of a version's environment
    progress.py     the named steps, in a notebook or a terminal
    result.py       the card of a deployment, and of what a deploy did
    views.py        what the other verbs answer, each drawn as HTML and as text
    snippets.py     how to call it with curl, Python and JavaScript
    html.py         the few elements all of these are drawn with; style.py, their style; text.py, how numbers read
    screen.py       where output goes: a cell, or a terminal
    panel.py        the live panel, a widget; relay.py answers what its script asks, publisher.py tells it what changes
    picture.py      the still picture below a panel, kept up to date; shot.py draws it
    measured.py     what was measured, as a DataFrame; figures.py, as a few figures; period.py, how a period is typed
    retune.py       a re-tune and its candidates; retune_plot.py, as a drawing; training.py, rows to train with
    data.py         what is recorded: shown, exported, deleted; recording.py, which of it is kept at all
    events.py       how what happened reads
    chart/          charts on paper: PNG, PDF, SVG
    report/         a period of a deployment as one file
    watch/          `autodeploy watch`, live in a terminal
    telling.py      how a build goes on, told to the sidebar; background.py, the threads of all these
    found.py        what the notebook holds that could be deployed, for JupyterLab's dialog

It sees the floor, `build` and the supervisor's client, nothing else.
"""
