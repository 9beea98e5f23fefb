"""SimpleImputer in float64, which neither skl2onnx's converter nor onnxruntime's Imputer has."""

from __future__ import annotations

from typing import Any

__all__ = ["convert_imputer"]


def convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    """Write Where(IsNaN(x), statistics, x) for numbers; anything else as skl2onnx does.

    The arguments are those of a converter of skl2onnx (`custom_conversion_functions`).
    """
    import numpy as np
    from onnx import TensorProto
    from skl2onnx.common.data_types import DoubleTensorType
    from skl2onnx.operator_converters.common import concatenate_variables
    from skl2onnx.operator_converters.imputer_op import convert_sklearn_imputer

    imputer = operator.raw_operator
    nan = isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values)
    numbers = isinstance(operator.inputs[0].type, DoubleTensorType) and imputer.statistics_.dtype.kind in "fiub"
    if not (nan and numbers) or np.isnan(imputer.statistics_).any():  # an empty column is dropped, or not: not here
        convert_sklearn_imputer(scope, operator, container)
        return
    x = concatenate_variables(scope, operator.inputs, container)
    fill, missing = (scope.get_unique_variable_name(name) for name in ("fill", "missing"))
    container.add_initializer(fill, TensorProto.DOUBLE, [1, len(imputer.statistics_)], imputer.statistics_.tolist())
    container.add_node("IsNaN", [x], [missing], name=scope.get_unique_operator_name("IsNaN"), op_version=13)
    output = operator.outputs[0].full_name
    container.add_node(
        "Where", [missing, fill, x], [output], name=scope.get_unique_operator_name("Where"), op_version=9
    )
