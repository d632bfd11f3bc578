"""Reading a user's push log: the same log in every format, and one sentence for everything that does not fit."""

import numpy as np
import pandas as pd
import pytest

from sim.calibration.errors import LogError
from sim.calibration.label_table import label_table, to_csv
from sim.calibration.push_log import AWAY, LEFT, NO_READING, RETURNED
from sim.calibration.reading import EMOTION_COLUMNS, is_sessions, read_log
from sim.evaluation.rollout import rollout
from sim.evaluation.session_log import write_sessions
from sim.shop.catalog import read_catalog
from tests.sim.conftest import UniformPolicy
from tests.sim.logged import frame, logged


@pytest.fixture(scope="module")
def table(shop):
    log, _, _ = logged(shop, 60, seed=4)
    return frame(log.rows, log.start, log.labels)


def read(frame, tmp_path, name="log.csv", **settings):
    path = tmp_path / name
    frame.to_csv(path, index=False) if name.endswith("csv") else frame.to_parquet(path, index=False)
    return read_log(path, quiet=True, **settings)


def test_csv_and_parquet_in_any_order_of_rows_give_the_same_log(shop, table, tmp_path):
    mixed = table.sample(frac=1, random_state=0)
    logs = [read(table, tmp_path), read(table, tmp_path, "log.parquet")]
    assert np.array_equal(logs[0].rows, logs[1].rows) and logs[0].labels == logs[1].labels
    shuffled = read(mixed, tmp_path, "mixed.csv")
    assert shuffled.customers == logs[0].customers
    for counted in ("clicked", "bought", "opted_out", "gap"):
        assert shuffled.rows[counted].sum() == logs[0].rows[counted].sum()


def test_what_is_read_is_what_the_shop_did(shop, table, tmp_path):
    log, _, _ = logged(shop, 60, seed=4)
    got = read(table, tmp_path)
    for name in ("clicked", "bought", "opted_out", "price"):
        assert np.array_equal(got.rows[name], log.rows[name]), name
    assert np.array_equal(np.diff(got.start), np.diff(log.start))
    named = np.array(["", *got.labels])[got.rows["label"]]
    assert (named == np.array(["", *log.labels])[log.rows["label"]]).all()
    inner = got.rows["end"] == RETURNED
    assert np.array_equal(got.rows["gap"][inner], log.rows["gap"][inner])
    assert got.price_spread.max() == 0.0 and not got.has_emotion


def test_a_log_of_our_own_run_is_read_for_one_policy_with_its_emotions(shop, tmp_path):
    log = rollout(UniformPolicy(), shop, customers=50, seed=4)
    other = rollout(UniformPolicy(name="other"), shop, customers=20, seed=9)
    write_sessions(tmp_path / "sessions.parquet", [log, other], shop)
    path = tmp_path / "sessions.parquet"
    prices = dict(zip(shop.catalog.names, shop.catalog.table["price"].tolist(), strict=True))
    assert is_sessions(path)
    got = read_log(path, policy="random", catalog_prices=prices, capped=120, quiet=True)
    assert got.customers == 50 and len(got.rows) == len(log.events) and got.has_emotion
    pushed = got.rows["label"] > 0
    assert np.array_equal(got.rows["price"][pushed], [prices[got.labels[k - 1]] for k in got.rows["label"][pushed]])
    folder = tmp_path / "parts"
    folder.mkdir()
    path.rename(folder / "part-0.parquet")
    assert np.array_equal(
        read_log(folder, policy="random", catalog_prices=prices, capped=120, quiet=True).rows, got.rows
    )
    with pytest.raises(LogError, match="holds 2 policies; choose one with policy=..., of random, other"):
        read_log(folder, quiet=True)
    with pytest.raises(LogError, match="policy=ppo: is not in"):
        read_log(folder, policy="ppo", quiet=True)


def simple(customers=50, days=(0, 0, 3, 10), **columns):
    """A small log by hand: every customer is pushed `a` and `b` in turn on these days, and clicks on the first push."""
    rows = [
        {"customer": f"u{c}", "time": day + 0.1 * i / len(days), "label": "ab"[i % 2], "clicked": int(i == 0), "bought": 0,
         "opted_out": 0, "price": 10 + i % 2}
        for c in range(customers)
        for i, day in enumerate(days)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


def test_gaps_visits_and_the_end_of_watching_by_hand(tmp_path):
    table = simple()
    table.loc[3, "opted_out"] = 1  # the first customer's last row
    table = table.drop(index=7)  # the second is last seen on day 3
    log = read(table, tmp_path)
    assert log.rows["gap"][:4].tolist() == [0, 3, 7, 0] and log.rows["end"][:4].tolist() == [RETURNED] * 3 + [LEFT]
    assert log.rows["gap"][4:7].tolist() == [0, 3, 7] and log.rows["end"][6] == AWAY
    assert log.rows["gap"][10] == 0 and log.rows["end"][10] == AWAY  # last seen on the log's last day
    assert log.price.tolist() == [10, 11] and log.labels == ("a", "b") and np.isnan(log.margin).all()


def test_who_stays_away_longer_than_anybody_ever_came_back_from_is_taken_for_lost(tmp_path):
    table = simple(days=(0, 20, 300))
    table = table.drop(index=2)
    log = read(table, tmp_path, lapse_days=45)
    assert log.rows["gap"][1] == 280  # a gap of 280 days is in the log, so the shop must wait that long
    early = read(
        simple(days=(0, 20)).assign(time=lambda t: t["time"] + 400 * (t["customer"] == "u0")), tmp_path, lapse_days=45
    )
    assert early.rows["gap"][early.start[1] + 1] == 45


def test_iso_times_with_zones_are_days_of_universal_time(tmp_path):
    table = simple(days=(0, 1))
    table["time"] = ["2024-03-01T23:30:00-02:00", "2024-03-03 01:00"] * 50
    assert read(table, tmp_path).rows["gap"][0] == 1


def test_emotions_are_read_where_a_face_was_and_flat_readings_are_none(tmp_path):
    table = simple()
    for j, column in enumerate(EMOTION_COLUMNS):
        table[column] = [0.9 if j == 3 else 0.1 / 6, 1 / 7, np.nan, 0.4 if j == 4 else 0.1] * 50
    assert read(table, tmp_path).rows["reading"][:4].tolist() == [3, NO_READING, NO_READING, 4]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.drop(columns="price"), "lacks the column price; columns needed are customer, time, label"),
        (lambda t: t.assign(price=t["price"].astype(object).where(t.index != 5, "ten")), "line 7, column price: 'ten' is not a number"),
        (lambda t: t.assign(price=t["price"].where(t.index != 2, -3)), "line 4, column price: '-3' is not above zero"),
        (lambda t: t.assign(price=t["price"].where(t.index != 2)), "line 4, column price: '' is no price"),
        (lambda t: t.assign(clicked=t["clicked"].where(t.index != 1, 7)), "line 3, column clicked: '7' is neither yes nor no; give 0 or 1"),
        (lambda t: t.assign(time=t["time"].astype(object).where(t.index != 4, "soon")), "line 6, column time: 'soon' is not a number"),
        (lambda t: t.assign(time=t["time"].where(t.index != 4)), "line 6, column time: '' is no time"),
        (lambda t: t.assign(time=[f"2024-02-{30 if i == 9 else 1 + i % 4:02d}" for i in range(len(t))]),
         "line 11, column time: '2024-02-30' is no time; give ISO 8601"),
        (lambda t: t.assign(time=t["time"] * 1e6), "column time: spans 10,0"),
        (lambda t: t.assign(customer=t["customer"].where(t.index != 8, "")), "line 10, column customer: '' is no customer"),
        (lambda t: t.assign(bought=(t.index == 1).astype(int)), "line 3, column bought: '1' without a click"),
        (lambda t: t.assign(opted_out=(t.index == 1).astype(int)),
         "line 3, column opted_out: the customer opted out here but has a later row (line 4)"),
        (lambda t: t.assign(label=t["label"].where(t.index != 0, "none")), "line 2, column clicked: '1' without a label"),
        (lambda t: pd.concat([t, t.iloc[[6]]]), "line 202: repeats line 8 (same customer, time and label); remove it"),
        (lambda t: t.iloc[:0], "holds no row; give one row per push"),
        (lambda t: t[t["customer"] == "u0"], "holds 1 customer(s); a fit and its check need at least 40"),
        (lambda t: t.assign(clicked=0), "column clicked: nobody ever clicked"),
        (lambda t: t.assign(label=[f"m{i}" for i in range(len(t))]), None),
        (lambda t: t.assign(perceived_emotion_happy=0.5), "lacks the column perceived_emotion_angry"),
        (lambda t: t.assign(**dict.fromkeys(EMOTION_COLUMNS, 2.0)), "column perceived_emotion_angry: '2.0' is no probability"),
        (lambda t: t.assign(margin=99, bought=t["clicked"]), "column margin: 99 of label 'a' exceeds its price 10"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_file_column_row_and_advice(change, sentence, tmp_path):
    if sentence is None:
        assert len(read(change(simple()), tmp_path).labels) == 200  # many labels are fine
        return
    with pytest.raises(LogError) as refusal:
        read(change(simple()), tmp_path)
    assert sentence in str(refusal.value) and "log.csv" in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_parquet_log_counts_rows_from_one(tmp_path):
    with pytest.raises(LogError, match=r"log.parquet, row 3, column price: -3"):
        read(simple().assign(price=lambda t: t["price"].where(t.index != 2, -3)), tmp_path, "log.parquet")


@pytest.mark.parametrize("content", [b"", b"\x00\x01\xff\xfe", b"PAR1 but nothing else"])
def test_a_file_that_is_no_table_is_refused(content, tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(LogError, match="log.csv"):
        read_log(path, quiet=True)


def test_more_rows_than_allowed_are_refused_before_they_fill_the_memory(tmp_path):
    with pytest.raises(LogError, match="has more than 150 rows; keep a random sample of whole customers"):
        read(simple(), tmp_path, max_rows=150)


def test_labels_without_a_table_have_tastes_of_their_own_and_the_logs_prices(tmp_path):
    log, catalog = label_table(read(simple(), tmp_path), None, margin_share=0.4)
    assert catalog.names == ("a", "b") and np.allclose(catalog.features @ catalog.features.T, np.eye(2))
    assert catalog.table["price"].tolist() == [10, 11] and np.allclose(catalog.table["margin"], [4.0, 4.4])
    path = tmp_path / "catalog.csv"
    path.write_text(to_csv(catalog, np.array([0.25, -0.25])))
    again = read_catalog(path)
    assert again.table["appeal"].tolist() == [0.25, -0.25] and np.allclose(again.features, catalog.features)


def test_labels_of_a_given_table_keep_its_tone_and_taste_and_take_the_logs_price(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("label,price,margin,pressure,taste_x,taste_y\nc,5,1,0,1,0\nb,20,8,.5,0,1\na,9,3,0,1,1\n")
    log, catalog = label_table(read(simple(), tmp_path), path, margin_share=0.4)
    assert catalog.names == ("c", "b", "a") and catalog.table["price"].tolist() == [5, 11, 10]
    assert np.allclose(catalog.table["margin"], [1, 8 / 20 * 11, 3 / 9 * 10]) and catalog.table["pressure"][1] == 0.5
    assert log.rows["label"][:2].tolist() == [3, 2]
    path.write_text("label,price,margin\na,1,1\n")
    with pytest.raises(LogError, match="lacks the label 'b'"):
        label_table(read(simple(), tmp_path), path, margin_share=0.4)
