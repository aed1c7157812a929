"""Searches of scikit-learn's on a local Dask cluster: one process's answer, one thread a task."""

import re
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="fcnn.sklearn needs scikit-learn")
pytest.importorskip("distributed", reason="NOT TESTED: Dask; pip install 'dask[distributed]'")

import distributed
import joblib
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

import fcnn.sklearn as ours

pytestmark = [
    pytest.mark.slow(reason="starts a cluster of two processes"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Port .* is already in use:UserWarning"),  # of dashboards
]


def score(estimator, X, y):
    """The accuracy; a task that would take more than one thread fails."""
    if estimator._threads() != 1:
        raise AssertionError(f"a task has {estimator._threads()} threads")
    return estimator.score(X, y)


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize("n_networks", [1, 2])
def test_a_search_has_the_answer_of_one_process(client, n_networks):
    X, y = load_iris(return_X_y=True)
    model = ours.MLPClassifier((8,), max_iter=20, random_state=0, n_networks=n_networks)
    grid = {"alpha": [1e-4, 0.1], "learning_rate_init": [1e-3, 1e-2]}
    alone = GridSearchCV(model, grid, cv=3).fit(X, y)
    with joblib.parallel_backend("dask"):
        search = GridSearchCV(model, grid, cv=3, scoring=score, error_score="raise").fit(X, y)
    assert search.best_params_ == alone.best_params_
    for name in ("mean_test_score", "split0_test_score", "split2_test_score"):
        assert (search.cv_results_[name] == alone.cv_results_[name]).all()
    assert (search.predict_proba(X) == alone.predict_proba(X)).all()


def test_the_block_of_the_page():
    page = (Path(__file__).parents[1] / "docs" / "scale-out.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(import joblib\nfrom dask.*?)```", page, re.DOTALL)
    X, y = load_iris(return_X_y=True)
    names = {"X": X, "y": y}
    try:
        exec(compile(block, "scale-out.md", "exec"), names)
        assert names["search"].best_score_ > 0.8
        assert len(names["client"].scheduler_info()["workers"]) == 2
    finally:
        if "client" in names:
            names["client"].close()
