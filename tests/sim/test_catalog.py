"""Catalogs from CSV: the shipped one, a minimal one, and every way one can be wrong."""

import numpy as np
import pytest

from sim.shop.catalog import read_catalog
from sim.shop.parameters import ShopError
from sim.shop.scenarios import CONF
from tests.sim.conftest import make_shop


def write(tmp_path, text):
    path = tmp_path / "catalog.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_catalog_has_twelve_labels_of_median_price_17_50():
    catalog = read_catalog(CONF / "catalog" / "default.csv")
    assert len(catalog.names) == 12 and catalog.money_scale == 1.0
    np.testing.assert_allclose(np.linalg.norm(catalog.features, axis=1), 1)
    assert catalog.table["margin"][catalog.names.index("store card")] == 15.6


def test_label_price_margin_are_enough(tmp_path):
    path = write(tmp_path, "label,price,margin\nsofa,1750,400\nlamp,175,60\n</script>,1750,400\n")
    catalog = read_catalog(path)
    assert catalog.names == ("sofa", "lamp", "</script>") and catalog.money_scale == 100
    again = read_catalog(path)
    assert (again.features == catalog.features).all() and again.digest == catalog.digest
    shop = make_shop([f"catalog.path={path}"])
    assert shop.labels == 3 and shop.params["budget_median"][0] == 8000
    lives = shop.customers(50, 1)
    for _ in range(30):
        lives.step(np.full(50, 2))
    assert lives.state.labels["pushes"].sum() > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,price,margin\n", "holds no label"),
        ("", "holds no label"),
        ("label,price\nx,1\n", "lacks the column margin"),
        ("label,price,margin\na,1,.5\nb,2,1\na,3,1\n", "line 4: label 'a' appears twice"),
        ("label,price,margin\na,-1,.5\n", "line 2: price is -1; it must be above zero"),
        ("label,price,margin\na,0,.5\n", "must be above zero"),
        ("label,price,margin\na,1,2\n", "margin 2 exceeds the price"),
        ("label,price,margin\na,dear,.5\n", "line 2: price is 'dear'; give a finite number"),
        ("label,price,margin\na,nan,.5\n", "give a finite number"),
        ("label,price,margin\na,1e300,.5\n", "price is '1e300'; give a finite number of at most 1e[+]09"),
        ("label,price,margin\na,1,-inf\n", "margin is '-inf'; give a finite number"),
        ("label,price,margin,appeal\na,1,.5,1e9\n", "appeal is '1e9'; give a number from -20 to 20"),
        ("label,price,margin,taste_x\na,1,.5,1e200\n", "taste_x is '1e200'; give a finite number of at most 1e[+]06"),
        ("label,price,margin\n,1,.5\n", "the label is empty"),
        ("label,price,margin,pressure\na,1,.5,3\n", "pressure is '3'; give a number from 0 to 1"),
        ("label,price,margin,taste_x\na,1,.5,0\n", "all taste columns are zero"),
    ],
)
def test_a_wrong_catalog_is_named_by_line(tmp_path, text, message):
    with pytest.raises(ShopError, match=message):
        read_catalog(write(tmp_path, text))


def test_a_missing_or_binary_catalog_is_refused(tmp_path):
    with pytest.raises(ShopError, match="cannot be read"):
        read_catalog(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ShopError, match="not a CSV"):
        read_catalog(tmp_path / "x.csv")
