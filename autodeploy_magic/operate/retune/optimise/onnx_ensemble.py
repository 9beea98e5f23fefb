"""An ensemble of trees in an ONNX graph, and the same with its first trees alone.

ONNX has three operators for it (ai.onnx.ml): TreeEnsembleClassifier and TreeEnsembleRegressor, whose arrays name a tree
for each node and for each leaf's weight, and since version 5 TreeEnsemble, whose arrays begin a tree at each root.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.registry import need

__all__ = ["OPERATORS", "Ensemble", "ensembles"]

Array = NDArray[Any]
Way = Literal["averaged", "summed"]

OPERATORS = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble")
_AVERAGED = re.compile(r"(RandomForest|ExtraTrees|XGBRF)(Classifier|Regressor)$")
_SUMMED = re.compile(r"((Hist)?GradientBoosting|XGB|LGBM|CatBoost)(Classifier|Regressor|Ranker)$|CatBoost$|Booster$")


def ensembles(model: Any, model_type: str) -> list[Ensemble]:
    """Those of a graph. `model_type` is what the graph was made from, "StandardScaler → XGBClassifier"."""
    found = [node for node in model.graph.node if node.op_type in OPERATORS]
    name = model_type.rpartition("→")[2].strip() if len(found) == 1 else ""
    return [Ensemble(node, name) for node in found]


@dataclass(frozen=True)
class Ensemble:
    """One operator. `name` is the class that it was made from, "" where nobody knows or there are several."""

    node: Any
    name: str

    @cached_property
    def rounds(self) -> list[list[int]]:
        """Trees that belong together, in order: one for each class where each class has trees of its own, else one."""
        classes = self._classes()
        single = [ids[0] for ids in classes if len(ids) == 1]
        if len(single) < len(classes) or len(set(single)) < 2:
            return [[tree] for tree in self._trees]
        columns = [[t for t, own in zip(self._trees, single, strict=True) if own == one] for one in sorted(set(single))]
        if len({len(column) for column in columns}) > 1:
            raise NotApplicable("its classes have different numbers of trees")
        return [list(trees) for trees in zip(*columns, strict=True)]

    @cached_property
    def way(self) -> Way:
        """Whether its answer is a mean over trees, whose leaves were divided by their number, or a sum.

        Raises `NotApplicable` where neither the graph nor the model's name tells.
        """
        post = self._text("post_transform") or "NONE"
        if self._text("aggregate_function") in ("MIN", "MAX"):
            raise NotApplicable("it takes the smallest or the largest of its trees' answers")
        if self._text("aggregate_function") == "AVERAGE" or _AVERAGED.match(self.name):
            return "averaged"
        if _SUMMED.match(self.name) or post in ("LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"):
            return "summed"
        # Shares of a class in a leaf, over the number of trees: what a forest of classifiers is written as.
        weights, most = self._weights, 1.001 / len(self._trees)
        is_classifier = self.node.op_type == "TreeEnsembleClassifier"
        if is_classifier and not self._has_base and weights.min() >= 0 and 0.9 * most < weights.max() <= most:
            return "averaged"
        raise NotApplicable("the graph does not tell whether its trees are averaged or summed")

    def first(self, rounds: int) -> Any:
        """The operator with its first rounds alone; the leaves of averaged trees weigh so much more."""
        kept = {tree for trees in self.rounds[:rounds] for tree in trees}
        scale = 1.0
        if self.way == "averaged" and self._text("aggregate_function") != "AVERAGE":
            scale = len(self.rounds) / rounds
        changed = self._first_roots(kept, scale) if self._is_rooted else self._first_named(kept, scale)
        onnx = need("onnx", "changing an ONNX file")
        node = type(self.node)()
        node.CopyFrom(self.node)
        for attribute in node.attribute:
            values = changed.get(attribute.name)
            if values is None:
                continue
            if attribute.HasField("t"):
                attribute.t.CopyFrom(onnx.numpy_helper.from_array(np.asarray(values), attribute.t.name))
            else:
                listed = onnx.helper.make_attribute(attribute.name, list(values))
                attribute.CopyFrom(listed)
        return node

    # The older two: every node and every leaf's weight names its tree.

    def _first_named(self, kept: set[int], scale: float) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        for prefix in ("nodes_", self._prefix):
            inside = np.isin(self._values[f"{prefix}treeids"], sorted(kept))
            for name, values in self._values.items():
                if name.startswith(prefix) and len(values) == len(inside):
                    changed[name] = [one for one, own in zip(values, inside, strict=True) if own]
                    if name.startswith(f"{prefix}weights"):
                        changed[name] = np.asarray(values)[inside] * np.asarray(scale, np.asarray(values).dtype)
        return changed

    @property
    def _prefix(self) -> str:
        return "class_" if self.node.op_type == "TreeEnsembleClassifier" else "target_"

    # The newer one: a tree begins at a root, and a branch leads to a node or to a leaf.

    def _first_roots(self, kept: set[int], scale: float) -> dict[str, Any]:
        if "membership_values" in self._values:
            raise NotApplicable("its trees ask for sets of values")
        reached = [self._reached(tree) for tree in sorted(kept)]
        inner = sorted({node for nodes, _ in reached for node in nodes})
        leaves = sorted({leaf for _, found in reached for leaf in found})
        places = {node: i for i, node in enumerate(inner)}
        leaf_places = {leaf: i for i, leaf in enumerate(leaves)}
        changed: dict[str, Any] = {
            name: np.asarray(values)[inner] for name, values in self._values.items() if name.startswith("nodes_")
        }
        for side in ("true", "false"):
            pairs = zip(changed[f"nodes_{side}nodeids"], changed[f"nodes_{side}leafs"], strict=True)
            changed[f"nodes_{side}nodeids"] = [int(leaf_places[to] if leaf else places[to]) for to, leaf in pairs]
        changed["leaf_targetids"] = [int(one) for one in np.asarray(self._values["leaf_targetids"])[leaves]]
        weights = np.asarray(self._values["leaf_weights"])
        changed["leaf_weights"] = weights[leaves] * np.asarray(scale, weights.dtype)
        changed["tree_roots"] = [places[int(self._values["tree_roots"][tree])] for tree in sorted(kept)]
        return {name: values.tolist() if name in _LISTS else values for name, values in changed.items()}

    def _reached(self, tree: int) -> tuple[set[int], set[int]]:
        """The nodes and the leaves of a tree."""
        inner, leaves, open_ends = set(), set(), [int(self._values["tree_roots"][tree])]
        while open_ends:
            at = open_ends.pop()
            inner.add(at)
            for side in ("true", "false"):
                to = int(self._values[f"nodes_{side}nodeids"][at])
                if self._values[f"nodes_{side}leafs"][at]:
                    leaves.add(to)
                elif to not in inner:
                    open_ends.append(to)
        return inner, leaves

    # Both.

    @cached_property
    def _values(self) -> dict[str, Any]:
        """Its arrays by name."""
        onnx = need("onnx", "changing an ONNX file")
        found = {}
        for attribute in self.node.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, onnx.TensorProto):
                value = onnx.numpy_helper.to_array(value)
            if not isinstance(value, bytes | int | float):
                found[attribute.name] = value
        return found

    def _text(self, name: str) -> str:
        onnx = need("onnx", "changing an ONNX file")
        found = [onnx.helper.get_attribute_value(item) for item in self.node.attribute if item.name == name]
        if not found:
            return ""
        if isinstance(found[0], int):  # the newer operator's words are numbers
            return (_AGGREGATES if name == "aggregate_function" else _POSTS)[found[0]]
        return str(found[0].decode())

    @property
    def _is_rooted(self) -> bool:
        return bool(self.node.op_type == "TreeEnsemble")

    @cached_property
    def _trees(self) -> list[int]:
        if self._is_rooted:
            return list(range(len(self._values["tree_roots"])))
        return [int(tree) for tree in np.unique(self._values["nodes_treeids"])]

    @cached_property
    def _weights(self) -> Array:
        names = ("leaf_weights", f"{self._prefix}weights", f"{self._prefix}weights_as_tensor")
        return np.asarray(next(self._values[name] for name in names if name in self._values))

    @property
    def _has_base(self) -> bool:
        return any(np.any(np.asarray(self._values.get(name, 0.0))) for name in ("base_values", "base_values_as_tensor"))

    def _classes(self) -> list[list[int]]:
        """For each tree the classes, or targets, that its leaves are of."""
        if self._is_rooted:
            targets = np.asarray(self._values["leaf_targetids"])
            return [sorted({int(targets[leaf]) for leaf in self._reached(tree)[1]}) for tree in self._trees]
        owners, ids = (np.asarray(self._values[f"{self._prefix}{name}"]) for name in ("treeids", "ids"))
        found: dict[int, set[int]] = {tree: set() for tree in self._trees}
        for owner, one in set(zip(owners.tolist(), ids.tolist(), strict=True)):
            found[owner].add(one)
        return [sorted(ids) for ids in found.values()]


_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
_POSTS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
_LISTS = ("nodes_featureids", "nodes_missing_value_tracks_true", "nodes_trueleafs", "nodes_falseleafs")
"""Attributes of the newer operator that are lists of integers; its other arrays are tensors."""
