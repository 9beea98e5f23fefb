"""A version for a device that has Python with numpy and onnxruntime, or for a browser.

edge.py        the target: what is asked for, refused and written, in order
fits.py        which versions can go, and why others cannot
graph.py       model.onnx → model.ort, for any number of rows or for one, and the operators that it needs
describe.py    signature.json: columns, answers, and how the graph is fed
around.py      the person's own code around the model, as source
predict.py     the one file that answers; it is copied as it is
texts.py       README.md, requirements.txt, NOTICE
wheel.py       the same files as a wheel
web.py         a static page that runs the model in a browser, and the runtime for it
web/           the page's own files
"""
