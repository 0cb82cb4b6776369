"""What a new contract asks of callers and of the feature store that the champion's contract does not.

Callers and stores are fitted to the champion. A change that would have today's requests refused, or today's
values taken for another type, fails; one that would have a feature degraded until they follow warns.
"""

from __future__ import annotations

from collections.abc import Iterator

from quicksilver.contract import ENTITY_KEY, Contract, Feature, FeatureType, MissingPolicy, Source
from quicksilver.gates.report import Check, Gate, Outcome


def compatibility_checks(candidate: Contract, champion: Contract | None) -> list[Check]:
    """One check per change that somebody must follow; one that passes where there is none."""
    if champion is None:
        return [
            _check("contract", Outcome.PASS, "There is no champion whose callers the contract must suit.")
        ]
    found = [*_features(candidate, champion), *_keys(candidate, champion)]
    if not found:
        return [_check("contract", Outcome.PASS, "Callers and the feature store need to change nothing.")]
    return found


def _features(candidate: Contract, champion: Contract) -> Iterator[Check]:
    old = {feature.name: feature for feature in champion.features}
    new = {feature.name: feature for feature in candidate.features}
    for name, feature in new.items():
        if name not in old:
            yield _added(feature)
        elif feature.source is not old[name].source:
            yield _moved(feature)
        else:
            yield from _changed(old[name], feature)
    for name, feature in old.items():
        if name not in new and feature.source is Source.REQUEST:
            yield _check(
                f"removed_feature.{name}", Outcome.FAIL,
                f"Callers send {name}, which the new contract does not know: it would refuse their requests.",
            )  # fmt: skip


def _added(feature: Feature) -> Check:
    sent = feature.source is Source.REQUEST
    where = "Callers do not send" if sent else "The feature store may not hold"
    return _check(
        f"new_{'request' if sent else 'online'}_feature.{feature.name}",
        _until_followed(feature),
        f"{where} {feature.name} yet: until then {_consequence(feature)}.",
    )


def _moved(feature: Feature) -> Check:
    """A feature that callers sent and stores now give, or the other way round."""
    if feature.source is Source.ONLINE:
        return _check(
            f"source.{feature.name}", Outcome.FAIL,
            f"Callers send {feature.name}, which the new contract reads from the store: it would refuse their requests.",
        )  # fmt: skip
    return _check(
        f"source.{feature.name}",
        _until_followed(feature),
        f"Callers do not send {feature.name} yet, it came from the store: until then {_consequence(feature)}.",
    )


def _changed(old: Feature, new: Feature) -> Iterator[Check]:
    name = new.name
    if new.type is not old.type:
        widened = (old.type, new.type) == (FeatureType.INTEGER, FeatureType.NUMBER)
        if not widened:
            yield _check(
                f"type.{name}", Outcome.FAIL,
                f"{name} was a {old.type.value} and is a {new.type.value}: what is sent and stored today is of the wrong type.",
            )  # fmt: skip
            return
    lost = [category for category in old.categories if category not in new.categories]
    if lost:
        yield _check(
            f"categories.{name}",
            _until_followed(new),
            f"{name} no longer knows {', '.join(sorted(lost))}: for them {_consequence(new)}.",
        )
    if _narrower(old.minimum, new.minimum, 1) or _narrower(old.maximum, new.maximum, -1):
        yield _check(
            f"range.{name}",
            _until_followed(new),
            f"{name} has a narrower range, {_range(new)} and not {_range(old)}: outside it {_consequence(new)}.",
        )
    stricter = (MissingPolicy.REFER, MissingPolicy.REJECT)
    if new.missing is not old.missing and new.missing in stricter:
        yield _check(
            f"missing_policy.{name}",
            Outcome.WARN,
            f"Without {name} {_consequence(new)}; the champion's policy is {old.missing.value}.",
        )
    if old.max_age_seconds and new.max_age_seconds and new.max_age_seconds < old.max_age_seconds:
        yield _check(
            f"max_age.{name}", Outcome.WARN,
            f"{name} is stale after {new.max_age_seconds} s and not {old.max_age_seconds} s: the store must write as often.",
        )  # fmt: skip
    if old.group != new.group:
        yield _check(
            f"group.{name}", _until_followed(new),
            f"{name} is read from the group {new.group} and not {old.group}: until it is there {_consequence(new)}.",
        )  # fmt: skip
    if old.sensitive and not new.sensitive:
        yield _check(
            f"sensitive.{name}", Outcome.WARN, f"{name} is personal data to the champion and no longer here."
        )


def _keys(candidate: Contract, champion: Contract) -> Iterator[Check]:
    sent = {ENTITY_KEY, *champion.groups.values()}
    for group, key in candidate.groups.items():
        if key in sent:
            continue
        members = [feature for feature in candidate.features if feature.group == group]
        strict = any(_until_followed(feature) is Outcome.FAIL for feature in members)
        yield _check(
            f"new_key.{key}",
            Outcome.FAIL if strict else Outcome.WARN,
            f"Callers do not name {key} yet, the key of group {group}: until then its {len(members)} "
            f"features are missing{' and requests are refused' if strict else ''}.",
        )
    for key in sorted(sent - {ENTITY_KEY, *candidate.groups.values()}):
        yield _check(
            f"removed_key.{key}", Outcome.FAIL,
            f"Callers name {key}, which is no key of the new contract: it would refuse their requests.",
        )  # fmt: skip


def _until_followed(feature: Feature) -> Outcome:
    return Outcome.FAIL if feature.missing is MissingPolicy.REJECT else Outcome.WARN


def _consequence(feature: Feature) -> str:
    return {
        MissingPolicy.DEFAULT: "its default is scored",
        MissingPolicy.MISSING: "it is scored as missing",
        MissingPolicy.REFER: "every decision is referred to a person",
        MissingPolicy.REJECT: "every request is refused",
    }[feature.missing]


def _narrower(old: float | None, new: float | None, sign: int) -> bool:
    return new is not None and (old is None or sign * new > sign * old)


def _range(feature: Feature) -> str:
    low = "-inf" if feature.minimum is None else f"{feature.minimum:g}"
    high = "inf" if feature.maximum is None else f"{feature.maximum:g}"
    return f"[{low}, {high}]"


def _check(name: str, outcome: Outcome, sentence: str) -> Check:
    return Check(gate=Gate.CONSISTENCY, name=name, outcome=outcome, sentence=sentence)
