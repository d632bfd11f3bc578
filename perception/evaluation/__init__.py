"""Evaluation: how good perception is on labelled photographs, with intervals (:mod:`perception.evaluate` is the command).

``manifest`` (what is labelled) -> perceived faces -> ``detection``, ``verification`` and ``identification``,
``classes`` (emotion, mask), ``persons`` -> ``report`` (table, JSON), ``plots``, ``track`` (MLflow).  Terms are those of
ISO/IEC 19795-1: FMR and FNMR (false match and non-match rate), FTA and FTE (failure to acquire and to enrol), FPIR.
"""
