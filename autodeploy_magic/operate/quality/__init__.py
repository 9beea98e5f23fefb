"""How right a deployment answers: from the labels that came, and from the model's own confidence before any came.

tracker.py    second by second: what came is taken in, and what it says
gathered.py   what came: of all versions, and of each
pairs.py      what an answer and its label say, whatever JSON they came as
window.py     the newest labelled rows as arrays, which forget the oldest
columns.py    the inputs of those rows, as numbers
rows.py       labelled rows, and what is told of them
figures.py    accuracy, precision, recall, F1 and confusion; MAE, RMSE and R²
intervals.py  how sure they are
slices.py     the rows of one column's value that are answered worse than the others
expected.py   what the model's confidence lets expect, put right by the labels there are
counted.py    how much is recorded
by.py         all slices of one column, in a process of its own
words.py      quality in a few words
"""
