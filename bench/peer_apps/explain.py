"""One explainer, measured in its own environment beside LightGBM's pred_contrib: ``explain.py NAME MODEL ROWS``.

Rows come as a JSON list of lists with null for missing; what was found goes to stdout as JSON. Each row is
explained alone, as a request is, in turn with LightGBM; then all at once, which is what these explainers are made for.
"""

import contextlib
import json
import statistics
import sys
import time

import lightgbm
import numpy as np

SLOW_US = 1_000_000


def shap_explainer(booster):
    import shap

    return shap.TreeExplainer(booster).shap_values


def fasttreeshap_explainer(booster):
    import fasttreeshap

    # The algorithm is its own choice: v2 keeps a table per tree, and pays for it once, here.
    return fasttreeshap.TreeExplainer(booster, n_jobs=1).shap_values


def woodelf_explainer(booster):
    import pandas
    from woodelf import WoodelfExplainer

    explainer = WoodelfExplainer(booster)
    columns = booster.feature_name()
    return lambda rows: explainer.shap_values(pandas.DataFrame(rows, columns=columns), verbose=False)


def timed(explain, rows):
    started = time.process_time_ns()
    given = explain(rows)
    return (time.process_time_ns() - started) / 1_000, given


def main(name, model, rows):
    booster = lightgbm.Booster(model_file=model, params={"num_threads": 1})
    with open(rows) as file:
        matrix = np.array(json.load(file), dtype=np.float64)

    def lightgbm_itself(vectors):
        return booster.predict(vectors, pred_contrib=True, num_threads=1)[:, :-1]

    # What a library prints is not an answer.
    with contextlib.redirect_stdout(sys.stderr):
        explain = {
            "shap": shap_explainer,
            "fasttreeshap": fasttreeshap_explainer,
            "woodelf": woodelf_explainer,
        }[name](booster)
        first = timed(explain, matrix[:1])
        alone, reference, differences = [], [], []
        for row in matrix[:, None, :]:
            # Who needs seconds for a row is measured once, its first time included.
            slow = first[0] > SLOW_US
            if slow and alone:
                break
            used, given = first if slow else timed(explain, row)
            alone.append(used)
            used, wanted = timed(lightgbm_itself, row)
            reference.append(used)
            values = np.asarray(given[1] if isinstance(given, list) else given, dtype=np.float64)
            differences.append(float(np.abs(values - wanted).max() / np.abs(wanted).max()))
        together = timed(explain, matrix)[0] / len(matrix)
    print(
        json.dumps(
            {
                "median_us": statistics.median(alone),
                "pred_contrib_us": statistics.median(reference),
                "batch_us": together,
                "rows": len(alone),
                "batch_rows": len(matrix),
                "max_rel_diff": max(differences),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
