"""The ablation's page says what its lines say."""

from __future__ import annotations

from tests.campaigns.ablation import VARIANTS
from tests.campaigns.ablation_table import document


def _family(market, variant, gain):
    figures = {"nats": 0.002, "nats_gain": gain, "nats_error": 0.001, "net_r": -0.05, "net_r_gain": 2 * gain, "net_r_error": 0.003}
    return {"unit": 0, "market": market, "variant": variant, "rows": 1_000, **figures}


def _weights(unit, equal, skill):
    figures = {"equal_trades": 100, "skill_trades": 110, "equal_net_r": equal, "skill_net_r": skill}
    return {"unit": unit, "market": "flow", **figures}


def test_gains_are_means_over_stretches_with_their_bounds():
    lines = [_family(name, variant, 0.0) for name in ("real EURUSD", "real GBPUSD") for variant in VARIANTS]
    lines = [line if line["variant"] != "all" else _family(line["market"], "all", 0.005) for line in lines]
    page = document(lines, [_weights(0, 10.0, 13.0), _weights(1, 20.0, 21.0)])
    # Two stretches with an error of 0.001 each: 0.001 / sqrt(2) for their mean.
    assert "| all | +5.00 (+3.61 to +6.39) | +10.00 (+5.84 to +14.16) |" in page
    assert "2 stretches, 2,000 test rows; the usual columns gain +2.00 thousandths" in page
    assert "That is so for: all.\n" in page
    assert "Synthetic markets" not in page  # nothing is said of what was not run
    assert "| flow | 2 | 200 | 220 | +30 | +34 | +2.0 (+0.0 to +4.0) |" in page


def test_every_family_is_left_in_and_left_out_once():
    assert [len(extra) for extra in VARIANTS.values()] == [0, 1, 1, 1, 3, 2, 2, 2]
    assert len(set(VARIANTS.values())) == len(VARIANTS)
