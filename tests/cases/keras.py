"""Keras, on TensorFlow: small networks for scikit-learn's digits and diabetes data."""

from __future__ import annotations

from typing import Any

from cases import Case, Made

__all__ = ["CASES"]


def _digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X.astype("float32"), y


def _fit(model: Any, x: Any, y: Any, loss: Any, epochs: int) -> Any:
    model.compile("adam", loss)
    model.fit(x, y, epochs=epochs, batch_size=64, shuffle=False, verbose=0)
    return model


def _dense() -> Made:
    import keras

    keras.utils.set_random_seed(0)
    X, y = _digits()
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Rescaling(1 / 16),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return Made(_fit(model, X, y, "sparse_categorical_crossentropy", 4), X)


def _convolutional() -> Made:
    import keras

    keras.utils.set_random_seed(0)
    X, y = _digits()
    X = X.reshape(-1, 8, 8, 1)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 16),
            layers.Conv2D(16, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Made(_fit(model, X, y, loss, 2), X)


def _two_inputs() -> Made:
    """A body and its blood, and two answers: a number, and whether it is high."""
    import keras
    from sklearn.datasets import load_diabetes

    keras.utils.set_random_seed(0)
    X, y = load_diabetes(return_X_y=True)
    parts = {"body": X[:, :4], "blood": X[:, 4:]}
    inputs = {name: keras.Input(values.shape[1:], name=name) for name, values in parts.items()}
    joined = keras.layers.Concatenate()(list(inputs.values()))
    hidden = keras.layers.Dense(16, activation="tanh")(joined)
    outputs = {
        "progression": keras.layers.Dense(1)(hidden),
        "high": keras.layers.Dense(1, activation="sigmoid")(hidden),
    }
    model = keras.Model(inputs, outputs)
    model.compile("adam", {"progression": "mse", "high": "binary_crossentropy"})
    targets = {"progression": y[:, None] / 100, "high": (y > y.mean())[:, None].astype("float32")}
    model.fit(parts, targets, epochs=2, shuffle=False, verbose=0)
    return Made(model, parts)


CASES = [
    Case(
        "dense network of digits",
        "keras",
        _dense,
        ("onnx",),
        task="function",
        served=True,
        row="keras.Sequential, dense (digits)",
    ),
    Case("convolutional network of digits", "keras", _convolutional, ("onnx",), task="function"),
    Case("two inputs and two outputs", "keras", _two_inputs, ("onnx",), task="function"),
]
