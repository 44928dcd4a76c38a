"""When a screen ends and what it claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from isd_ray.config.claims import Claim, claim_named
from isd_ray.config.rules import Rule, rule_named
from isd_ray.config.section import Fraction, Section, Task, by_output

EARLIER_DEFAULTS = {"trigger": "trend", "first_look_share": 0.5}
"""Of `[stopping]`, in campaigns of versions before."""
_ERRORS = frozenset({"mae", "mse"})
"""What may be claimed of an output that is bounded by `max_loss`."""
DEFAULT_RANDOM_SHARE = 0.1
"""Random share of a batch under an audited rule, which forecasts from it."""


class Condition(Section):
    """A condition of the end, with exactly one key: a leaf, or conditions joined by `any_of` or `all_of`."""

    rule: Literal[True] | None = None
    """The stopping rule says stop."""
    compounds: int | None = Field(default=None, ge=1)
    """So many compounds are measured."""
    fraction: float | None = Field(default=None, gt=0.0, le=1.0)
    """So large a share of the target set is measured."""
    rounds: int | None = Field(default=None, ge=1)
    """So many rounds are done."""
    cost: float | None = Field(default=None, gt=0.0)
    """So much money is spent, in the unit of `cost_per_compound`: not one more compound can surely be paid."""
    any_of: Annotated[tuple[Condition, ...], Field(strict=False, min_length=1)] | None = None
    """At least one of these holds."""
    all_of: Annotated[tuple[Condition, ...], Field(strict=False, min_length=1)] | None = None
    """All of these hold."""

    @model_validator(mode="after")
    def _has_one_key(self) -> Condition:
        if sum(value is not None for value in self.__dict__.values()) != 1:
            raise ValueError("a condition has exactly one key, as { compounds = 5000 } or { rule = true }")
        return self

    def leaves(self) -> tuple[Condition, ...]:
        """The leaves of the condition."""
        parts = self.any_of or self.all_of
        return tuple(leaf for part in parts for leaf in part.leaves()) if parts else (self,)


class PanelStoppingConfig(Section):
    """A claim about each output (assay) of a panel in the place of one about their mean.

    Keys are names of outputs, or wildcards as "SR-*"; a name goes before a wildcard, and two wildcards must not match
    the same output.
    """

    gamma: dict[str, Fraction] = Field(default_factory=dict)
    """Accuracy that the whole column of an output has to exceed (of numbers the share within the tolerance), or recall
    of hits to reach; of outputs that are not named `stopping.gamma`."""
    quantity: dict[str, Literal["accuracy", "recall", "mae", "mse"]] = Field(default_factory=dict)
    """What is claimed of an output: `accuracy`, of numbers the share within the tolerance; of classes also the `recall`
    of hits, 1 being a hit; of numbers also `mae` or `mse`, that the mean error is at most `max_loss`. Of outputs that
    are not named `stopping.quantity`."""
    max_loss: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)
    """mae, mse: largest mean error of the whole column, measured compounds counting as 0; unit of the output, for mse
    its square."""
    loss_clip: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)
    """mae, mse: larger errors count as this one (unit of the output)."""
    delta_weight: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)
    """Parts into which `stopping.delta` is split; of outputs that are not named 1."""

    def levels(self, outputs: Sequence[str], gamma: float) -> tuple[float, ...]:
        """What each output is held against; raises as `shares`."""
        return tuple(by_output(self.gamma, outputs, gamma))

    @property
    def has_errors(self) -> bool:
        """Whether a mean error is claimed of any output."""
        return not _ERRORS.isdisjoint(self.quantity.values())

    def quantities(self, outputs: Sequence[str], quantity: str) -> tuple[str, ...]:
        """What is claimed of each output, `quantity` of those that are not named; raises as `shares`."""
        return tuple(by_output(self.quantity, outputs, quantity))

    def errors(self, outputs: Sequence[str]) -> tuple[MeanErrorClaim | None, ...]:
        """The mean error that is claimed of each output; None of those of which an accuracy is.

        Raises
        ------
        ValueError
            As `shares`; or if a key is missing, or given where it has no use.
        """
        columns = (self.quantities(outputs, "accuracy"), *self._limits(outputs))
        return tuple(_mean_error(*claim) for claim in zip(outputs, *columns, strict=True))

    def _limits(self, outputs: Sequence[str]) -> tuple[list[float | None], list[float | None]]:
        nothing: float | None = None
        return by_output(self.max_loss, outputs, nothing), by_output(self.loss_clip, outputs, nothing)

    def shares(self, outputs: Sequence[str]) -> tuple[float, ...]:
        """Share of delta that is spent on each output; they sum to 1.

        Raises
        ------
        ValueError
            If a key means no output, or two wildcards the same.
        """
        weights = by_output(self.delta_weight, outputs, 1.0)
        return tuple(weight / sum(weights) for weight in weights)


@dataclass(frozen=True, slots=True)
class MeanErrorClaim:
    """That a mean error is at most `max_loss`, errors above `clip` counted as that.

    Attributes
    ----------
    power:
        1 of absolute errors, 2 of squared ones.
    """

    max_loss: float
    clip: float
    power: int


def _mean_error(name: str, quantity: str, max_loss: float | None, clip: float | None) -> MeanErrorClaim | None:
    """The claim about one output."""
    is_error = quantity in _ERRORS
    if {max_loss is not None, clip is not None} != {is_error}:
        raise ValueError(f"`max_loss` and `loss_clip` of {name!r} go with quantity = 'mae' or 'mse'; give all or none")
    if max_loss is None or clip is None:
        return None
    power = claim_named(quantity).goals["regression"].power
    if max_loss >= clip**power:
        raise ValueError(f"max_loss={max_loss:g} of {name!r} is not below the largest loss, {clip**power:g}; lower it")
    return MeanErrorClaim(max_loss, clip, power)


class StoppingConfig(Section):
    """When the screen ends."""

    rule: str = "certify"
    """`certify`: looks at random audits, a guarantee. `pac`: one look at the full risk, a guarantee. `reserved`: looks
    at an audit that is measured before the first model and never trained on, a guarantee. `paper`: Eq. 5 and 6, a
    heuristic. `none`: run until `max_fraction` is measured."""
    quantity: str = "accuracy"
    """What is claimed of the whole screen. Of classes: `accuracy`, or, where one class is a hit, `recall` of hits,
    `precision` of the delivered hits, or `balanced_accuracy`. Of values: `accuracy` (share within `tolerance`), `mae`
    or `mse` (at most `max_loss`). Of panels: `accuracy` (mean over the compounds of the share of right outputs),
    `recall` of the hits of all outputs, or of numbers alone `mae` or `mse` (mean over the compounds of the mean error
    of their outputs, in tolerances). Installed packages may add others."""
    gamma: Fraction = 0.95
    """Accuracy to exceed; recall, precision, balanced accuracy or accuracy of a panel to reach."""
    panel: PanelStoppingConfig | None = None
    """Panel: a claim about each output; without this table the claim is about their mean."""
    positive: str | None = None
    """Name of the class that is a hit. Default: 1 of the classes 0 and 1, and of pairs that leave no doubt, as inactive
    and active; of others it has to be named where the claim, or the acquisition function, is about hits."""
    max_loss: float | None = Field(default=None, gt=0.0)
    """mae, mse: largest mean error of the whole screen, measured compounds counting as 0; unit of the label, for mse
    its square. Of a panel of numbers in tolerances of its outputs (`tolerances`), whose units have no mean."""
    loss_clip: float | None = Field(default=None, gt=0.0)
    """mae, mse: larger errors count as this one (unit of the label; of a panel tolerances); without a limit an audit
    can bound nothing."""
    repeatability: float | None = Field(default=None, ge=0.5, le=1.0)
    """Share of replicates of a binary readout that agree; turns agreement with readouts into a claim on the truth."""
    delta: Fraction = 0.05
    """Risk of a stop below gamma."""
    max_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the target set after which acquisition ends in any case."""
    max_compounds: int | None = Field(default=None, ge=1)
    """Compounds after which acquisition ends in any case."""
    max_rounds: int | None = Field(default=None, ge=1)
    """Rounds after which acquisition ends in any case."""
    max_cost: float | None = Field(default=None, gt=0.0)
    """Money that is never exceeded, in the unit of `cost_per_compound`. Every sample well that was asked for is paid,
    with a readout or without; controls, and what is measured outside the plan, are not."""
    cost_per_compound: float | None = Field(default=None, gt=0.0)
    """Price of one well of a compound; beside `cost_column`, of those that have none there."""
    cost_column: str | None = None
    """Column of the library with the price of one well of each compound. Audits and other random rows are drawn
    whatever they cost, so none is drawn that could not be paid were it the dearest compounds left: take compounds of
    extreme price out of the library, or exclude them."""
    any_of: Annotated[tuple[Condition, ...], Field(strict=False, min_length=1)] | None = None
    """The screen ends when any of these holds; default: when the rule says so. The limits above come on top."""
    all_of: Annotated[tuple[Condition, ...], Field(strict=False, min_length=1)] | None = None
    """The screen ends when all of these hold; the rule is asked only where its yes would end the screen."""
    tolerance: float | None = Field(default=None, gt=0.0)
    """Regression, and outputs of a panel that are numbers: a prediction within this distance of the readout counts as
    right (unit of the label)."""
    tolerances: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)
    """Panel: the same of single outputs, by name or wildcard; of others `tolerance`."""
    max_looks: int = Field(default=5, ge=1, le=50)
    """Most looks of `certify` and `reserved`."""
    first_look_share: Fraction = 0.8
    """Share of delta that the first look of `certify` and `reserved` spends; each later one spends half of what is
    left, and the last as much as the one before it. 0.5 gives delta / 2^j."""
    portions: int = Field(default=1, ge=1, le=10)
    """`certify` and `pac`: measure an audit in so many portions, the first of two fifths, and judge after each. Where
    the model is good the later ones stay unmeasured; each that is needed is a round more."""
    reserve_size: int | None = Field(default=None, ge=1)
    """`reserved`: compounds of the audit; default: enough to certify a model with half the allowed errors."""
    reserve_audit: bool = False
    """Keep wells of the budget for one last audit, judged at all the risk that is left, when the budget ends first."""
    finish_tolerance: int = Field(default=0, ge=0)
    """Compounds of a finish that may stay without a readout; the finish then shows that so many fewer errors are left,
    and measures somewhat more. 0: one lost well spends the look."""
    trigger: Literal["blend", "trend", "platt"] = "blend"
    """Forecast of the errors left, which decides when a look is worth its audit and never touches the guarantee:
    `trend` by ranks, `platt` by confidences, `blend` by both (of a recall as `trend`). Rare hits are forecast by ranks
    and all random rows."""
    continue_after_stop: bool = False
    """Simulation only: note the stop and go on to the end of the budget."""

    @property
    def level(self) -> float:
        """What the claimed quantity is held against: `gamma`, or `max_loss`."""
        return self.gamma if self.max_loss is None else self.max_loss

    @property
    def claim(self) -> Claim:
        """What is claimed."""
        return claim_named(self.quantity)

    def goal_class(self, task: Task) -> type[Any]:
        """The class of the claim about a task (`isd_ray.core.goals.base.Goal`)."""
        kind = self.claim.goals[task] if self.panel is None else self.kind_by_output
        assert kind is not None, "the configuration was checked"
        return kind

    @property
    def kind_by_output(self) -> type[Any] | None:
        """The class of claims about each output, by what is claimed of them; None if the claim has no such."""
        if self.mixes_hits:
            return self.claim.by_output_hits
        has_errors = self.panel is not None and self.panel.has_errors
        return self.claim.by_output_errors if has_errors else self.claim.by_output

    @property
    def mixes_hits(self) -> bool:
        """Whether the recall of hits is claimed of some outputs of a panel, and something else of others."""
        asked = {self.quantity, *(self.panel.quantity.values() if self.panel is not None else ())}
        return self.panel is not None and "recall" in asked and len(asked) > 1

    def tolerances_of(self, outputs: Sequence[str], numbers: Sequence[str]) -> tuple[float | None, ...]:
        """Of a panel with numbers: by output the error that counts as none, None of classes; of others empty.

        Parameters
        ----------
        numbers:
            Outputs that are numbers, by name or wildcard.

        Raises
        ------
        ValueError
            If names mean no output, one of classes, or an output that is a number has none.
        """
        if not numbers or not outputs:
            return ()
        are_numbers = by_output(dict.fromkeys(numbers, True), outputs, default=False)
        asked = by_output(self.tolerances, outputs, self.tolerance)
        for name, is_number, tolerance in zip(outputs, are_numbers, asked, strict=True):
            if is_number and tolerance is None:
                raise ValueError(
                    f"the output {name!r} is a number and has no tolerance; give it in stopping.tolerances, or "
                    "stopping.tolerance for all: it says what is right, and weighs outputs against each other"
                )
            if not is_number and name in self.tolerances:
                raise ValueError(f"{name!r} in stopping.tolerances is no number by labels.numbers; remove it")
        return tuple(one if is_number else None for is_number, one in zip(are_numbers, asked, strict=True))

    @property
    def in_force(self) -> Rule:
        """What the rule is."""
        return rule_named(self.rule)

    @property
    def claims(self) -> bool:
        """Whether anything is claimed of the screen at its end."""
        return self.in_force.judges or self.reserve_audit

    @property
    def condition(self) -> Condition:
        """What ends the screen: `any_of` or `all_of`, or the rule, and the limits."""
        limits: dict[str, Any] = {
            "fraction": self.max_fraction,
            "compounds": self.max_compounds,
            "rounds": self.max_rounds,
            "cost": self.max_cost,
        }
        asked = Condition(rule=True)
        if self.any_of or self.all_of:
            asked = Condition(any_of=self.any_of, all_of=self.all_of)
        return Condition(any_of=(asked, *(Condition(**{k: v}) for k, v in limits.items() if v is not None)))

    @model_validator(mode="after")
    def _conditions_are_complete(self) -> StoppingConfig:
        if self.any_of and self.all_of:
            raise ValueError("`any_of` and `all_of` exclude each other here; put one into the other")
        leaves = self.condition.leaves()
        if self.in_force.judges and not any(leaf.rule for leaf in leaves):
            raise ValueError(f"rule={self.rule!r} is in no condition; add {{ rule = true }}, or set rule = 'none'")
        has_price = self.cost_per_compound is not None or self.cost_column is not None
        if any(leaf.cost is not None for leaf in leaves) != has_price:
            raise ValueError(
                "`max_cost` or a `cost`, and `cost_per_compound` or `cost_column` go together; give both or neither"
            )
        return self

    @model_validator(mode="after")
    def _quantity_has_its_keys(self) -> StoppingConfig:
        claim = self.claim
        is_loss = claim.is_error
        if {self.max_loss is not None, self.loss_clip is not None} != {is_loss}:
            raise ValueError("`max_loss` and `loss_clip` go with quantity = 'mae' or 'mse'; give both or neither")
        if is_loss and self.max_loss is not None and self.loss_clip is not None:
            largest = min(goal.largest(self.loss_clip) for goal in claim.goals.values())
            if self.max_loss >= largest:
                raise ValueError(f"max_loss={self.max_loss:g} is not below the largest loss, {largest:g}; lower it")
        if not claim.is_share_right:
            if self.in_force.counts_right:
                raise ValueError(f"rule={self.rule!r} is for quantity = 'accuracy'; use 'certify' or 'pac'")
            if self.reserve_audit:
                raise ValueError("`reserve_audit` is for quantity = 'accuracy'; remove it")
            if self.repeatability is not None:
                raise ValueError("`repeatability` is for quantity = 'accuracy'; remove it")
        if self.panel is not None and (not self.in_force.draws_audits or self.reserve_audit):
            raise ValueError("[stopping.panel] needs rule = 'certify' or 'pac', and no `reserve_audit`")
        if self.portions > 1 and not self.in_force.draws_audits:
            raise ValueError(f"`portions` are for the rules certify and pac, not {self.rule!r}; remove it")
        if self.reserve_size is not None and not self.in_force.is_reserved:
            raise ValueError("`reserve_size` is for rule = 'reserved'; remove it")
        if self.reserve_audit and not self.in_force.may_keep_wells:
            raise ValueError(f"`reserve_audit` is for the rules certify, paper and none, not {self.rule!r}; remove it")
        return self
