"""Which hyper-parameters of an estimator are worth searching, and within which bounds: a table by the class's name.

Bounds are wide around the defaults of the libraries, after the spaces of auto-sklearn (M. Feurer et al., 2015) and of
"Why do tree-based models still outperform deep learning" (L. Grinsztajn et al., 2022). A space is a function of a trial
of Optuna's and of the estimator as it is: only what the estimator's own settings allow is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["SPACES", "space_of"]

Space = Callable[[Any, Any], dict[str, Any]]


def space_of(estimator: Any) -> Space | None:
    """The space of an estimator; None for a class that has none."""
    return SPACES.get(type(estimator).__name__)


def _logistic(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {
        "C": trial.suggest_float("C", 1e-4, 1e3, log=True),
        "class_weight": trial.suggest_categorical("class_weight", [None, "balanced"]),
    }


def _alpha(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {"alpha": trial.suggest_float("alpha", 1e-5, 1e3, log=True)}


def _elastic(trial: Any, model: Any) -> dict[str, Any]:
    return {**_alpha(trial, model), "l1_ratio": trial.suggest_float("l1_ratio", 0.01, 1.0)}


def _sgd(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {
        "alpha": trial.suggest_float("alpha", 1e-7, 1e-1, log=True),
        "penalty": trial.suggest_categorical("penalty", ["l2", "l1", "elasticnet"]),
        "average": trial.suggest_categorical("average", [False, True]),
    }


def _linear_svm(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {"C": trial.suggest_float("C", 1e-4, 1e2, log=True)}


def _svm(trial: Any, model: Any) -> dict[str, Any]:
    found = {"C": trial.suggest_float("C", 1e-2, 1e3, log=True)}
    if model.kernel in ("rbf", "poly", "sigmoid"):
        found["gamma"] = trial.suggest_float("gamma", 1e-5, 1e1, log=True)
    if "epsilon" in model.get_params():
        found["epsilon"] = trial.suggest_float("epsilon", 1e-3, 1.0, log=True)
    return found


def _neighbours(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {
        "n_neighbors": trial.suggest_int("n_neighbors", 1, 50, log=True),
        "weights": trial.suggest_categorical("weights", ["uniform", "distance"]),
        "p": trial.suggest_int("p", 1, 2),
    }


def _tree(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {
        "max_depth": trial.suggest_int("max_depth", 2, 30, log=True),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 50, log=True),
        "ccp_alpha": trial.suggest_float("ccp_alpha", 1e-6, 1e-1, log=True),
    }


def _forest(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {
        "max_features": trial.suggest_float("max_features", 0.05, 1.0),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 20, log=True),
        "max_depth": trial.suggest_categorical("max_depth", [None, 5, 10, 20]),
    }


def _hist(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.5, log=True),
        "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 4, 128, log=True),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 2, 100, log=True),
        "l2_regularization": trial.suggest_float("l2_regularization", 1e-6, 10.0, log=True),
    }


def _boosting(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.5, log=True),
        "max_depth": trial.suggest_int("max_depth", 1, 8),
        "subsample": trial.suggest_float("subsample", 0.4, 1.0),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 50, log=True),
    }


def _network(trial: Any, model: Any) -> dict[str, Any]:
    found = {"alpha": trial.suggest_float("alpha", 1e-6, 1e1, log=True)}
    if model.solver != "lbfgs":
        found["learning_rate_init"] = trial.suggest_float("learning_rate_init", 1e-4, 3e-2, log=True)
    return found


def _bayes(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {"var_smoothing": trial.suggest_float("var_smoothing", 1e-12, 1.0, log=True)}


def _counted_bayes(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {"alpha": trial.suggest_float("alpha", 1e-3, 1e2, log=True)}


def _xgb(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.5, log=True),
        "max_depth": trial.suggest_int("max_depth", 2, 10),
        "min_child_weight": trial.suggest_float("min_child_weight", 0.5, 50.0, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1.0),
        "reg_lambda": trial.suggest_float("reg_lambda", 1e-3, 100.0, log=True),
    }


def _lgbm(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.5, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 128, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 2, 100, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1.0),
        "reg_lambda": trial.suggest_float("reg_lambda", 1e-6, 10.0, log=True),
    }


def _catboost(trial: Any, model: Any) -> dict[str, Any]:
    del model
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.5, log=True),
        "depth": trial.suggest_int("depth", 2, 9),
        "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 0.5, 50.0, log=True),
    }


SPACES: dict[str, Space] = {
    "LogisticRegression": _logistic,
    "RidgeClassifier": _alpha,
    "Ridge": _alpha,
    "Lasso": _alpha,
    "ElasticNet": _elastic,
    "KernelRidge": _alpha,
    "SGDClassifier": _sgd,
    "SGDRegressor": _sgd,
    "LinearSVC": _linear_svm,
    "LinearSVR": _linear_svm,
    "SVC": _svm,
    "SVR": _svm,
    "KNeighborsClassifier": _neighbours,
    "KNeighborsRegressor": _neighbours,
    "DecisionTreeClassifier": _tree,
    "DecisionTreeRegressor": _tree,
    "RandomForestClassifier": _forest,
    "RandomForestRegressor": _forest,
    "ExtraTreesClassifier": _forest,
    "ExtraTreesRegressor": _forest,
    "HistGradientBoostingClassifier": _hist,
    "HistGradientBoostingRegressor": _hist,
    "GradientBoostingClassifier": _boosting,
    "GradientBoostingRegressor": _boosting,
    "MLPClassifier": _network,
    "MLPRegressor": _network,
    "GaussianNB": _bayes,
    "MultinomialNB": _counted_bayes,
    "BernoulliNB": _counted_bayes,
    "ComplementNB": _counted_bayes,
    "XGBClassifier": _xgb,
    "XGBRegressor": _xgb,
    "LGBMClassifier": _lgbm,
    "LGBMRegressor": _lgbm,
    "CatBoostClassifier": _catboost,
    "CatBoostRegressor": _catboost,
}
