"""Budgets joined with the stopping rule, and the configurations of the end that are refused."""

from __future__ import annotations

import itertools
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from isd_ray import plugins
from isd_ray.config import Condition, StoppingConfig
from isd_ray.config.rules import BUILT_IN_RULES, rule_named
from isd_ray.core.conditions import Reached, affordable, bought, holds, limits_reached, no_prices, rule_counts, words_of
from isd_ray.core.stopping import decide, rule_of
from isd_ray.errors import ConfigError
from isd_ray.messages import RoundEvidence
from isd_ray.ops.simulate import simulate

RULE = {"rule": True}


def at(price):
    """Money at one price, nothing spent before."""
    return bought(np.full(1000, price))


def condition(**keys) -> Condition:
    return Condition.model_validate(keys)


def stopping(**keys) -> StoppingConfig:
    return StoppingConfig.model_validate(keys)


@pytest.mark.parametrize(
    ("leaf", "before", "after"),
    [
        ({"compounds": 300}, Reached(299, 99), Reached(300, 0)),
        ({"fraction": 0.29}, Reached(289, 99), Reached(290, 0)),
        ({"rounds": 3}, Reached(999, 2), Reached(0, 3)),
        # 2.5 a compound: 80 can be paid, and no 81st.
        ({"cost": 202.0}, Reached(79, 99), Reached(80, 0)),
        ({"rule": True}, Reached(1000, 99), Reached(0, 0, rule=True)),
    ],
)
def test_a_leaf_holds_from_its_limit_on(leaf, before, after):
    assert not holds(condition(**leaf), before, 1000, at(2.5))
    assert holds(condition(**leaf), after, 1000, at(2.5))


def test_a_share_of_the_target_set_is_exact_in_its_decimals():
    """0.29 · 100 is below 29 in floats."""
    assert not holds(condition(fraction=0.29), Reached(28, 0), 100, no_prices)
    assert holds(condition(fraction=0.29), Reached(29, 0), 100, no_prices)
    assert affordable(stopping(max_fraction=0.29), 9, 0, 100) == 20


def test_nested_conditions_are_the_boolean_formula_they_spell():
    late = {"all_of": [{"rounds": 5}, {"any_of": [{"cost": 500.0}, RULE]}]}
    nested = condition(any_of=[{"all_of": [RULE, {"compounds": 300}]}, late])
    for n, rounds, rule in itertools.product((0, 249, 250, 299, 300, 900), (4, 5), (False, True)):
        expected = (rule and n >= 300) or (rounds >= 5 and (n >= 250 or rule))
        assert holds(nested, Reached(n, rounds, rule), 1000, at(2.0)) == expected
    assert len(nested.leaves()) == 5


def test_the_limits_join_whatever_was_asked_for():
    config = stopping(all_of=[RULE, {"compounds": 300}], max_rounds=4, max_compounds=500, max_fraction=0.9)
    for n, rounds, rule in itertools.product((299, 300, 499, 500, 899, 900), (3, 4), (False, True)):
        expected = (rule and n >= 300) or rounds >= 4 or n >= 500
        assert holds(config.condition, Reached(n, rounds, rule), 1000, no_prices) == expected


@pytest.mark.parametrize(
    ("keys", "n_acquired", "rounds", "expected"),
    [
        ({}, 0, 0, 1000),
        ({}, 1000, 9, 0),
        ({"max_compounds": 300}, 120, 1, 180),
        ({"max_compounds": 300}, 310, 1, 0),
        ({"max_compounds": 5000}, 120, 1, 880),
        ({"max_compounds": 300, "max_fraction": 0.2}, 120, 1, 80),
        ({"max_cost": 500.0, "cost_per_compound": 2.0}, 120, 1, 130),
        ({"max_cost": 0.3, "cost_per_compound": 0.1}, 0, 0, 3),
        ({"max_rounds": 3}, 120, 2, 880),
        ({"max_rounds": 3}, 120, 3, 0),
        # Both, or everything.
        ({"all_of": [RULE, {"compounds": 300}]}, 120, 1, 880),
        ({"any_of": [RULE, {"all_of": [{"compounds": 300}, {"rounds": 5}]}]}, 120, 4, 880),
        ({"any_of": [RULE, {"all_of": [{"compounds": 300}, {"rounds": 5}]}]}, 120, 5, 180),
        ({"any_of": [RULE, {"compounds": 200}], "max_compounds": 300}, 120, 1, 80),
        ({"rule": "none", "all_of": [{"compounds": 200}, {"fraction": 0.4}]}, 120, 1, 280),
    ],
)
def test_what_may_still_be_acquired_ends_at_the_first_limit_that_ends_the_screen(keys, n_acquired, rounds, expected):
    config = stopping(**keys)
    price = config.cost_per_compound or 1.0
    paid = bought(np.full(1000 - n_acquired, price), n_acquired * price, n_acquired)
    assert affordable(config, n_acquired, rounds, 1000, paid) == expected


def test_money_pays_in_the_given_order_and_for_lost_wells_too():
    """Of 20: 4 were spent for one readout, and the next cost 9, 5, 2, 1."""
    config = stopping(max_cost=20.0, cost_per_compound=1.0)
    for prices, expected in (([9.0, 5.0, 2.0, 1.0], 3), ([1.0, 2.0, 5.0, 9.0], 3), ([9.0, 8.0, 2.0, 1.0], 1)):
        assert affordable(config, 1, 0, 100, bought(np.array(prices), spent=4.0, n_acquired=1)) == expected
    assert affordable(config, 1, 0, 100, bought(np.array([9.0]), spent=12.0, n_acquired=1)) == 0


def test_the_limits_that_end_a_screen_are_named_and_no_others():
    late = {"all_of": [{"compounds": 300}, {"rounds": 5}]}
    ends = stopping(any_of=[RULE, late], max_compounds=1500, max_rounds=7, max_fraction=0.9).condition
    for n, rounds, words in (
        (300, 4, []),
        (300, 5, ["300 compounds", "5 rounds"]),
        (299, 7, ["7 rounds"]),
        (1800, 4, ["90 % of the target set", "1,500 compounds"]),
    ):
        found = limits_reached(ends, Reached(n, rounds), 2000, no_prices)
        assert list(map(words_of, found)) == words


def test_the_rule_is_asked_only_where_its_yes_would_end_the_screen():
    config = stopping(all_of=[RULE, {"any_of": [{"compounds": 300}, {"rounds": 4}]}])
    assert [rule_counts(config, n, rounds, 1000) for n, rounds in ((299, 3), (300, 0), (0, 4))] == [False, True, True]
    assert rule_counts(stopping(any_of=[RULE, {"compounds": 300}]), 0, 0, 1000)
    assert rule_counts(stopping(), 0, 0, 1000)


def test_a_yes_of_the_rule_waits_for_the_other_condition():
    config = stopping(rule="paper", gamma=0.9, all_of=[RULE, {"compounds": 600}])
    perfect = RoundEvidence(3, 1000, 500, 500, 100, 100, 100, rule_counts=False)
    decision = decide(perfect, config)
    assert decision.action == "continue"
    assert decision.reason.endswith("but another condition is not met")
    assert decide(RoundEvidence(3, 1000, 600, 400, 100, 100, 100, rule_counts=True), config).action == "stop"
    assert decide(RoundEvidence(3, 1000, 1000, 0, 100, 100, 100, rule_counts=False), config).action == "stop"
    assert decide(RoundEvidence(3, 1000, 500, 500, 0, 0, 0, rule_counts=False), config).reason.count("the budget") == 1


REFUSED = [
    ({"any_of": [{}]}, "exactly one key, as { compounds = 5000 }"),
    ({"any_of": [{"rule": True, "compounds": 5}]}, "exactly one key"),
    ({"any_of": [{"rule": False}]}, r"stopping.any_of.0.rule: Input should be True \(given: False\)"),
    ({"any_of": []}, "stopping.any_of"),
    ({"any_of": [RULE, {"compounds": 0}]}, "greater than or equal to 1"),
    ({"any_of": [RULE, {"fraction": 1.5}]}, "less than or equal to 1"),
    ({"any_of": [RULE], "all_of": [RULE]}, "exclude each other here; put one into the other"),
    ({"any_of": [{"compounds": 300}]}, r"rule='certify' is in no condition; add { rule = true }, or set rule = 'none'"),
    ({"any_of": [RULE, {"cost": 5.0}]}, "`cost_column` go together; give both or neither"),
    ({"max_cost": 5.0}, "give both or neither"),
    ({"cost_per_compound": 5.0}, "give both or neither"),
    ({"quantity": "mae"}, "give both or neither"),
    ({"quantity": "mse", "max_loss": 1.0}, "`max_loss` and `loss_clip` go with"),
    ({"max_loss": 1.0, "loss_clip": 2.0}, "`max_loss` and `loss_clip` go with"),
    ({"quantity": "recall", "rule": "paper"}, "rule='paper' is for quantity = 'accuracy'; use 'certify' or 'pac'"),
    ({"quantity": "recall", "rule": "reserved"}, "rule='reserved' is for quantity = 'accuracy'"),
    ({"quantity": "recall", "reserve_audit": True}, "`reserve_audit` is for quantity = 'accuracy'"),
    ({"quantity": "recall", "repeatability": 0.9}, "`repeatability` is for quantity = 'accuracy'; remove it"),
    ({"repeatability": 0.4}, "greater than or equal to 0.5"),
    ({"reserve_size": 50}, "`reserve_size` is for rule = 'reserved'; remove it"),
    ({"rule": "reserved", "reserve_audit": True}, "for the rules certify, paper and none, not 'reserved'"),
    ({"rule": "pac", "reserve_audit": True}, "for the rules certify, paper and none, not 'pac'"),
    ({"quantity": "recal"}, r"there is no claim 'recal'\n.*did you mean 'recall'"),
    ({"quantity": "mcc"}, r"there is no claim 'mcc'\n.*accuracy, recall, .*install the package"),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED, ids=[str(keys) for keys, _ in REFUSED])
def test_an_end_that_makes_no_sense_is_refused_with_its_remedy(keys, message, make_config):
    with pytest.raises(ConfigError, match=message):
        make_config(stopping={"rule": "certify", **keys})


LOSSES = [
    ({"quantity": "mae", "max_loss": 2.0, "loss_clip": 2.0}, "max_loss=2 is not below the largest loss, 2"),
    ({"quantity": "mse", "max_loss": 5.0, "loss_clip": 2.0}, "max_loss=5 is not below the largest loss, 4"),
    ({"quantity": "recall"}, "label values by a threshold"),
    ({"tolerance": 1.0, "repeatability": 0.9}, "label values by a threshold"),
    ({}, "needs stopping.tolerance .*, or quantity = 'mae' or 'mse'"),
    ({"rule": "none", "reserve_audit": True}, "needs stopping.tolerance"),
]


@pytest.mark.parametrize(("keys", "message"), LOSSES, ids=[str(keys) for keys, _ in LOSSES])
def test_a_regression_is_told_what_it_can_claim(keys, message, make_config):
    with pytest.raises(ConfigError, match=message):
        make_config(task="regression", labels={"column": "size"}, stopping={"rule": "certify", **keys})


@pytest.mark.parametrize(
    "keys",
    [{"tolerance": 1.0}, {"quantity": "mae", "max_loss": 1.0, "loss_clip": 3.0}],
)
def test_classes_have_no_tolerance_and_no_mean_error(keys, make_config):
    with pytest.raises(ConfigError, match="for task='regression'"):
        make_config(stopping={"rule": "certify", **keys})


def test_a_mean_squared_error_may_be_above_the_clip(make_config, regression):
    keys = {"rule": "certify", "quantity": "mse", "max_loss": 3.0, "loss_clip": 2.0}
    assert make_config(**{**regression, "stopping": keys}).stopping.max_loss == 3.0


def test_a_screen_that_measures_all_at_once_has_no_random_baseline(make_config, tmp_path):
    config = make_config(acquisition={"batch_size": 900}, simulation={"random_baseline": True})
    summary = simulate(config, tmp_path / "run").summary
    assert summary["fraction_acquired"] == 1.0
    assert "random_baseline" not in summary


def test_a_random_baseline_compares_accuracies_only(make_config):
    with pytest.raises(ConfigError, match="random_baseline compares accuracies"):
        make_config(stopping={"rule": "certify", "quantity": "recall"}, simulation={"random_baseline": True})


def test_what_is_shown_as_the_goal_is_what_is_claimed(make_config, regression):
    from isd_ray.report.steps import goal_of

    def level(**changes):
        config = make_config(**changes)
        return goal_of(config.stopping, config.task).level

    mean_error = {"rule": "certify", "quantity": "mae", "max_loss": 4.0, "loss_clip": 20.0}
    assert level(**{**regression, "stopping": mean_error}) == 4.0
    assert level(stopping={"rule": "certify", "quantity": "recall", "gamma": 0.8}) == 0.8
    assert level(stopping={"rule": "none"}) is None


def test_the_rules_that_a_configuration_takes_are_those_that_there_are():
    rules = {name: rule_named(name) for name in BUILT_IN_RULES}
    assert {name: StoppingConfig(rule=name).in_force for name in rules} == rules
    assert [name for name, rule in rules.items() if rule.is_audited] == ["certify", "pac", "reserved"]
    assert [name for name, rule in rules.items() if rule.counts_right] == ["reserved", "paper"]
    assert [name for name, rule in rules.items() if rule.takes_last_look] == ["certify"]


def test_a_rule_that_there_is_not_is_refused_with_what_was_meant():
    with pytest.raises(ConfigError, match="there is no stopping rule 'certfy'") as refused:
        StoppingConfig(rule="certfy")
    assert refused.value.remedy == "did you mean 'certify'?"


def test_audits_that_a_look_draws_are_in_portions_and_others_whole():
    portions = {name: {"portions": 3} if rule_named(name).draws_audits else {} for name in BUILT_IN_RULES}
    rules = {name: rule_of(StoppingConfig(rule=name, **asked)) for name, asked in portions.items()}
    looks = {name: rule.looks(StoppingConfig(rule=name, **portions[name]), 100) for name, rule in rules.items()}
    assert {name: rule.portions for name, rule in looks.items()} == {
        "certify": 3, "pac": 3, "reserved": 1, "paper": 1, "none": 1,
    }  # fmt: skip
    assert {name for name, rule in looks.items() if rule.max_looks == 1} == {"pac"}


def test_no_package_adds_a_rule(monkeypatch):
    """Whatever group of entry points it names itself in: nothing could mark its certificates as unverified."""
    added = [EntryPoint("ours", "isd_ray.core.rules.certify:RULE", "isd_ray.rules")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: added)
    with pytest.raises(ConfigError, match="there is no stopping rule 'ours'"):
        StoppingConfig(rule="ours")
