"""What every predictor must do; an implementation inherits and supplies `make`."""

from __future__ import annotations

import threading
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from config.errors import PredictionFailed, SchemaMismatch
from strategy.predictor import FeatureSchema, FeatureWindow, Predictor
from tests.fakes_models import SCHEMA, rows, window

# One batch and many differ in the order of float32 sums.
CLOSE = {"rtol": 0.0, "atol": 1e-6}
FIELDS = ("p_long", "p_short", "expected_r")


class PredictorContract:
    def make(self) -> Predictor:
        """A predictor over `SCHEMA` whose windows need at most 12 rows."""
        raise NotImplementedError

    def test_forecast_is_a_distribution(self):
        for seed in range(5):
            forecast = self.make().predict(window(seed=seed))
            assert min(forecast.p_long, forecast.p_short) >= 0.0
            assert forecast.p_long + forecast.p_short <= 1.0
            assert np.isfinite(forecast.expected_r)

    def test_forecasts_follow_the_input(self):
        forecasts = self.make().predict_many(rows(50, seed=8))
        assert np.ptp(forecasts.p_long) > 0.01
        assert np.ptp(forecasts.expected_r) > 0.01

    def test_predict_leaves_its_input_alone(self):
        given = window()
        before = given.values.copy()
        self.make().predict(given)
        self.make().predict_many(given.values)
        np.testing.assert_array_equal(given.values, before)

    def test_a_read_only_input_is_enough(self):
        given = window()
        given.values.flags.writeable = False
        self.make().predict(given)
        self.make().predict_many(given.values)

    def test_a_strided_input_gives_the_same(self):
        given = window()
        strided = np.asfortranarray(given.values)
        assert self.make().predict(FeatureWindow(SCHEMA, strided)) == self.make().predict(given)

    def test_predict_is_the_row_of_predict_many(self):
        predictor = self.make()
        values = rows(30, seed=9)
        many = predictor.predict_many(values)
        for i in range(len(many.side)):
            one = predictor.predict(FeatureWindow(SCHEMA, values[: i + predictor.info.rows]))
            np.testing.assert_allclose([getattr(one, f) for f in FIELDS], [getattr(many.at(i), f) for f in FIELDS], **CLOSE)
            assert one.side == many.at(i).side

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 512, 700])
    def test_an_exact_one_says_of_a_row_among_many_what_it_says_of_it_alone(self, size):
        predictor, values = self.make(), rows(size, seed=size)
        if not predictor.exact:
            assert predictor.info.rows > 1  # a network; its first matrix product depends on the batch
            return
        many = predictor.predict_many(values)
        for i in {0, 1, size // 2, size - 2, size - 1, *range(0, size, 37)} & set(range(size)):
            assert predictor.predict(FeatureWindow(SCHEMA, values[: i + 1])) == many.at(i)

    def test_predict_many_has_one_forecast_per_full_window(self):
        predictor = self.make()
        need = predictor.info.rows
        for n in (need, need + 1, 40):
            many = predictor.predict_many(rows(n))
            assert {len(many.p_long), len(many.p_short), len(many.side), len(many.expected_r)} == {n - need + 1}

    def test_older_rows_do_not_matter(self):
        predictor = self.make()
        long = window(12)
        short = FeatureWindow(SCHEMA, long.values[-predictor.info.rows :])
        assert predictor.predict(long) == predictor.predict(short)

    def test_a_missing_value_in_an_older_row_does_not_matter(self):
        predictor = self.make()
        given = window(12)
        given.values[: 12 - predictor.info.rows] = np.nan
        predictor.predict(given)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_missing_value_is_refused_by_name(self, bad):
        given = window()
        given.values[-1, 2] = bad
        with pytest.raises(PredictionFailed, match="feature_2"):
            self.make().predict(given)
        with pytest.raises(PredictionFailed, match="feature_2"):
            self.make().predict_many(given.values)

    def test_too_few_rows_are_refused(self):
        predictor = self.make()
        few = rows(predictor.info.rows - 1)
        with pytest.raises(PredictionFailed, match=f"{predictor.info.rows - 1} feature rows, {predictor.info.rows} needed"):
            predictor.predict(FeatureWindow(SCHEMA, few))
        with pytest.raises(PredictionFailed, match=f"{predictor.info.rows} needed"):
            predictor.predict_many(few)

    def test_what_was_prepared_says_what_predict_says_as_often_as_it_is_asked(self):
        predictor, given = self.make(), window()
        ask = predictor.prepare(given)
        assert ask() == ask() == predictor.predict(given)

    def test_what_cannot_be_read_is_refused_before_anything_is_asked(self):
        predictor, gap = self.make(), window()
        gap.values[-1, 2] = np.nan
        for unreadable in (gap, FeatureWindow(SCHEMA, rows(predictor.info.rows - 1)), FeatureWindow(SCHEMA, rows(12)[:, :-1])):
            with pytest.raises(PredictionFailed):
                predictor.prepare(unreadable)
        with pytest.raises(SchemaMismatch):
            predictor.prepare(FeatureWindow(FeatureSchema(SCHEMA.names[::-1]), rows(12)))

    def test_wrong_columns_are_named(self):
        schema = FeatureSchema(("stranger", *SCHEMA.names[1:]))
        with pytest.raises(SchemaMismatch) as caught:
            self.make().predict(FeatureWindow(schema, rows(12)))
        assert caught.value.missing == ("feature_0",)
        assert caught.value.unexpected == ("stranger",)

    def test_columns_in_another_order_are_refused(self):
        with pytest.raises(SchemaMismatch):
            self.make().predict(FeatureWindow(FeatureSchema(SCHEMA.names[::-1]), rows(12)))

    def test_a_matrix_that_does_not_fit_its_columns_is_refused(self):
        narrow = rows(12)[:, :-1]
        with pytest.raises(PredictionFailed, match="shape"):
            self.make().predict(FeatureWindow(SCHEMA, narrow))
        with pytest.raises(PredictionFailed, match="shape"):
            self.make().predict_many(narrow)

    def test_extreme_values_still_give_a_forecast(self):
        forecasts = self.make().predict_many(rows(20) * np.float32(1e30))
        assert np.isfinite(forecasts.expected_r).all()

    def test_it_is_thread_safe(self):
        predictor = self.make()
        given = [window(seed=seed) for seed in range(8)]
        alone = [predictor.predict(w) for w in given]
        barrier = threading.Barrier(4)
        found: list[list[object]] = [[] for _ in range(4)]

        def work(mine: list[object]) -> None:
            barrier.wait()
            for _ in range(10):
                mine.append([predictor.predict(w) for w in given])

        threads = [threading.Thread(target=work, args=(mine,)) for mine in found]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(mine == [alone] * 10 for mine in found)

    def test_it_cannot_be_changed(self):
        predictor = self.make()
        with pytest.raises((FrozenInstanceError, AttributeError)):
            predictor.info = replace(predictor.info, version=2)
