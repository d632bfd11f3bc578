"""Intervals over customers, faces and seeds against numbers worked out by hand."""

import numpy as np
import pytest

from experiments.gaps import Gap, estimate, gap
from experiments.report import GAP_HEADER, gap_row, markdown

# d[s, i] of two seeds and three customers; the first two customers wear the same face
D, FACES = np.array([[1.0, 2.0, 3.0], [1.0, 4.0, 7.0]]), np.array([5, 5, 9])
T1, T2 = 12.706205, 4.302653  # Student quantiles at .975 for 1 and 2 degrees of freedom


def test_the_interval_over_customers_is_that_of_their_means_over_seeds():
    # means over seeds 1, 3, 5: mean 3, deviation 2
    interval = estimate(D, FACES).customers
    assert interval["mean"] == 3 and interval["n"] == 3
    assert interval["high"] - 3 == pytest.approx(T2 * 2 / np.sqrt(3), rel=1e-6)


def test_the_interval_over_seeds_is_that_of_their_means_over_customers():
    # means over customers 2, 4: mean 3, deviation sqrt(2), standard error 1
    interval = estimate(D, FACES).seeds
    assert interval["n"] == 2 and interval["mean"] - interval["low"] == pytest.approx(T1, rel=1e-6)


def test_the_interval_over_faces_takes_customers_of_one_face_as_one_draw():
    # sums 4 and 5 over 2 and 1 customers: influences (4 - 6) / 1.5 and (5 - 3) / 1.5, standard error 4 / 3
    interval = estimate(D, FACES).faces
    assert interval["mean"] == 3 and interval["n"] == 2
    assert interval["high"] - 3 == pytest.approx(T1 * 4 / 3, rel=1e-6)


def test_each_seed_has_its_own_paired_interval():
    first, second = estimate(D, FACES).each
    assert (first["mean"], second["mean"]) == (2, 4)
    assert first["high"] - 2 == pytest.approx(T2 / np.sqrt(3), rel=1e-6)
    assert second["high"] - 4 == pytest.approx(T2 * 3 / np.sqrt(3), rel=1e-6)


def test_a_gap_is_paired_so_what_both_share_cancels():
    luck = np.random.default_rng(0).normal(0, 100, (2, 3))
    assert gap(luck + D, luck, FACES).customers["high"] == pytest.approx(estimate(D, FACES).customers["high"])


def test_a_gap_is_clear_only_when_customers_faces_and_seeds_all_agree():
    rng, faces = np.random.default_rng(1), np.arange(400) % 8
    noise = rng.normal(0, 1, (3, 400))
    assert estimate(1 + noise, faces).clear
    assert not estimate(1 + noise + np.array([[-2.0], [0.0], [2.0]]), faces).clear  # the seeds disagree
    assert not estimate(1 + noise + np.where(faces < 4, 3.0, -3.0), faces).clear  # the faces disagree
    assert not estimate(0.01 + noise, faces).clear


def test_one_seed_gives_no_interval_over_seeds_and_is_judged_by_the_others():
    e = estimate(1 + np.random.default_rng(2).normal(0, 1, (1, 400)), np.arange(400) % 8)
    assert e.clear and np.isinf(e.seeds["high"])
    assert gap_row(Gap("a - b", "what", e))[5] == "-"


def test_a_row_of_the_table_shows_the_numbers_of_the_estimate():
    row = gap_row(Gap("a - b", "what", estimate(D, FACES)))
    # 3 -+ 4.97 over customers, 3 -+ 16.94 over faces, 3 -+ 12.71 over seeds; both seeds' own intervals hold zero
    assert row == ["a - b", "what", "+3.00", "-1.97 to +7.97", "-13.94 to +19.94", "-9.71 to +15.71", "+2.00? +4.00?", "not clear"]
    assert markdown(GAP_HEADER, [row]).splitlines()[2] == "| " + " | ".join(row) + " |"
