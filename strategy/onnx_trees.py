"""Forests and boosters as ONNX files: one TreeEnsembleClassifier over float32 rows.

The trees are read from the arrays in which the libraries keep them, never node by node.

Source: operator TreeEnsembleClassifier of ai.onnx.ml, https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market_data.bars import FloatArray, IntArray
from strategy.onnx_graph import Kind, Shape, node, onnx_file

CLASSES = 3


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree of n nodes, the root first.

    Attributes:
        left, right: shape (n,), the children; -1 at a leaf. A row that passes the node's test goes left.
        column, threshold: shape (n,), what is tested and against what.
        classes: the k classes to which its leaves add.
        weights: shape (n, k), what they add.
    """

    left: IntArray
    right: IntArray
    column: IntArray
    threshold: NDArray[np.float32]
    classes: tuple[int, ...]
    weights: FloatArray

    @property
    def leaf(self) -> NDArray[np.bool_]:
        """Which nodes are leaves, shape (n,)."""
        return np.asarray(self.left < 0)


def forest_file(model: Any, columns: int) -> bytes:
    """A RandomForestClassifier as an ONNX file: outputs (n,) classes and (n, 3) probabilities."""
    return _file("random_forest", list(_forest_trees(model)), columns, b"BRANCH_LEQ", post_transform="NONE")


def booster_file(model: Any, columns: int) -> bytes:
    """An XGBClassifier over softmax margins as an ONNX file, up to its best round."""
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    grown = learner["gradient_booster"]["model"]
    # One number for all classes, or one for each, by version.
    base = np.broadcast_to(np.array(json.loads(learner["learner_model_param"]["base_score"]), dtype=np.float64), CLASSES)
    rounds = _best_rounds(model)
    count = len(grown["trees"]) if rounds is None else grown["iteration_indptr"][rounds]
    trees = [_boosted(tree, kind) for tree, kind in zip(grown["trees"][:count], grown["tree_info"][:count], strict=True)]
    return _file("xgboost", trees, columns, b"BRANCH_LT", post_transform="SOFTMAX", base_values=base)


def _best_rounds(model: Any) -> int | None:
    """Rounds up to the best one; None where the fit did not stop early."""
    try:
        return int(model.best_iteration) + 1
    except AttributeError:
        return None


def _forest_trees(model: Any) -> Iterator[Tree]:
    for grown in (estimator.tree_ for estimator in model.estimators_):
        counts = grown.value[:, 0, :]
        weights = counts / counts.sum(axis=1, keepdims=True) / len(model.estimators_)
        classes = tuple(int(label) for label in model.classes_)
        yield Tree(grown.children_left, grown.children_right, grown.feature, rounded_down(grown.threshold), classes, weights)


def rounded_down(values: FloatArray) -> NDArray[np.float32]:
    """The greatest float32 that is not above each value: a float32 passes `<=` for both or for neither."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)


def _boosted(tree: dict[str, Any], kind: int) -> Tree:
    left, right, column = (np.array(tree[name], dtype=np.int64) for name in ("left_children", "right_children", "split_indices"))
    values = np.array(tree["split_conditions"], dtype=np.float64)  # of a leaf: what it adds
    return Tree(left, right, column, values.astype(np.float32), (kind,), values[:, None])


def _file(name: str, trees: Sequence[Tree], columns: int, test: bytes, **told: Any) -> bytes:
    labels = np.arange(CLASSES)
    about = {"classlabels_int64s": labels, **_nodes(trees, test), **_leaves(trees), **told}
    ensemble = node("TreeEnsembleClassifier", ["rows"], ["label", "probabilities"], domain="ai.onnx.ml", **about)
    answers: dict[str, tuple[Kind, Shape]] = {"label": (Kind.INT64, ["n"]), "probabilities": (Kind.FLOAT, ["n", CLASSES])}
    return onnx_file(name, [ensemble], {}, ("rows", ["n", columns]), answers)


def _nodes(trees: Sequence[Tree], test: bytes) -> dict[str, Any]:
    """What every node asks and where it leads to."""
    leaf = np.concatenate([tree.leaf for tree in trees])
    sizes = [len(tree.left) for tree in trees]
    return {
        "nodes_treeids": np.repeat(np.arange(len(trees)), sizes),
        "nodes_nodeids": np.concatenate([np.arange(size) for size in sizes]),
        "nodes_modes": np.where(leaf, b"LEAF", test).tolist(),
        "nodes_featureids": _joined([tree.column for tree in trees], leaf),
        "nodes_values": _joined([tree.threshold for tree in trees], leaf),
        "nodes_truenodeids": _joined([tree.left for tree in trees], leaf),
        "nodes_falsenodeids": _joined([tree.right for tree in trees], leaf),
    }


def _joined(parts: Sequence[NDArray[Any]], leaf: NDArray[np.bool_]) -> NDArray[Any]:
    """One column of all trees; a leaf has nothing to say in it."""
    column = np.concatenate(parts)
    column[leaf] = 0
    return column


def _leaves(trees: Sequence[Tree]) -> dict[str, Any]:
    """What every leaf adds to which class."""
    leaves = [(np.flatnonzero(tree.leaf), tree) for tree in trees]
    return {
        "class_treeids": np.repeat(np.arange(len(trees)), [len(rows) * len(tree.classes) for rows, tree in leaves]),
        "class_nodeids": np.concatenate([np.repeat(rows, len(tree.classes)) for rows, tree in leaves]),
        "class_ids": np.concatenate([np.tile(tree.classes, len(rows)) for rows, tree in leaves]),
        "class_weights": np.concatenate([tree.weights[rows].ravel() for rows, tree in leaves]),
    }
