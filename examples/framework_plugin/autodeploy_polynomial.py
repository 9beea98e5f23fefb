"""A framework of one's own: numpy's polynomials as ONNX. Installed, `%%deploy` takes them like any other model."""

import onnx
from numpy.polynomial import Polynomial
from onnx import helper

from autodeploy_magic.build.export import Exporter


class PolynomialExporter(Exporter):
    name = "polynomial"
    formats = ("native", "onnx")

    def recognises(self, model):
        return isinstance(model, Polynomial)

    def task(self, model):
        return "regression"

    def write(self, model, format, path, x, signature):
        *rest, first = model.convert().coef.tolist()
        nodes = [helper.make_node("Constant", [], ["y0"], value_float=first)]
        for i, c in enumerate(reversed(rest)):  # Horner's scheme: y = y * x + c
            nodes += [helper.make_node("Mul", [f"y{i}", "inputs"], [f"m{i}"])]
            nodes += [helper.make_node("Constant", [], [f"c{i}"], value_float=c)]
            nodes += [helper.make_node("Add", [f"m{i}", f"c{i}"], [f"y{i + 1}"])]
        tensor = [helper.make_tensor_value_info(n, 1, [None, x.shape[1]]) for n in ("inputs", f"y{len(rest)}")]
        graph = helper.make_graph(nodes, "polynomial", tensor[:1], tensor[1:])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)


exporter = PolynomialExporter()
