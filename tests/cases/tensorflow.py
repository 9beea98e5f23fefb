"""TensorFlow without Keras."""

from __future__ import annotations

from typing import Any

from cases import Case, Made

__all__ = ["CASES"]


def _module() -> Made:
    """A logistic regression by hand: its gradient steps, and a tf.function that answers."""
    import numpy as np
    import tensorflow as tf
    from sklearn.datasets import load_iris

    class Logistic(tf.Module):  # type: ignore[misc]  # tensorflow ships no types
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(tf.zeros((4, 3)))
            self.bias = tf.Variable(tf.zeros(3))

        @tf.function  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            return tf.nn.softmax(x @ self.weights + self.bias)

    X, y = load_iris(return_X_y=True)
    rows, wanted = tf.constant(X, tf.float32), tf.one_hot(y, 3)
    model = Logistic()
    for _ in range(100):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.keras.losses.categorical_crossentropy(wanted, model(rows)))
        for variable, gradient in zip(model.variables, tape.gradient(loss, model.variables), strict=True):
            variable.assign_sub(0.1 * gradient)
    return Made(model, np.tile(X, (2, 1)))


CASES = [
    Case("tf.Module", "tensorflow", _module, ("onnx",), task="function", served=True, row="tf.Module (iris)"),
]
