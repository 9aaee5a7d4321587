"""Rules are added, removed and replaced without losing the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.src import firewall
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError

SSH = "in tcp 22 22 0.0.0.0/0 immutable"
OUT = "out icmp - - anywhere"
WEB = "in tcp 8080 8080 0.0.0.0/0 mutable"
EXISTING = [SSH, OUT, WEB]

rules = st.builds(
    firewall.Rule,
    st.sampled_from(["in", "out"]),
    st.sampled_from(["tcp", "udp"]),
    st.integers(0, 100),
    st.integers(100, 65535),
    st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "::/0"]),
    st.booleans(),
)


@given(rules)
def test_what_is_written_is_read_back(rule):
    assert firewall.parse(str(rule)) == rule


def test_the_last_word_may_be_missing_and_addresses_are_tidied():
    assert str(firewall.parse("IN tcp 80 90 10.1.2.3/8")) == "in tcp 80 90 10.0.0.0/8 mutable"


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "in tcp 80",
        "sideways tcp 80 80 0.0.0.0/0",
        "in icmp 80 80 0.0.0.0/0",
        "in tcp 81 80 0.0.0.0/0",
        "in tcp 80 65536 0.0.0.0/0",
        "in tcp a b 0.0.0.0/0",
        "in tcp 80 80 somewhere",
        "in tcp 80 80 0.0.0.0/0 maybe",
        "in tcp 80 80 0.0.0.0/0 mutable x",
        None,
    ],
)
def test_what_is_no_rule(rule):
    with pytest.raises(InvalidInputError, match="8080"):
        firewall.parse(rule)


def test_adding_keeps_everything_and_adds_nothing_twice():
    wanted = ["in udp 53 53 0.0.0.0/0", "in tcp 8080 8080 0.0.0.0/0", "in tcp 22 22 0.0.0.0/0"]
    assert firewall.add(EXISTING, wanted) == [*EXISTING, "in udp 53 53 0.0.0.0/0 mutable"]


def test_removing():
    assert firewall.remove(EXISTING, "in tcp 8080 8080 0.0.0.0/0") == [SSH, OUT]
    assert firewall.remove(EXISTING, "in tcp 9 9 0.0.0.0/0") == EXISTING


def test_what_belongs_to_the_catalog_item_cannot_be_removed():
    with pytest.raises(InvalidInputError, match="catalog item"):
        firewall.remove(EXISTING, [WEB, SSH])


def test_replacing_keeps_what_is_immutable_or_not_understood():
    assert firewall.replace(EXISTING, ["in tcp 443 443 0.0.0.0/0"]) == [SSH, OUT, "in tcp 443 443 0.0.0.0/0 mutable"]
    assert firewall.replace(EXISTING, []) == [SSH, OUT]


@given(st.lists(rules), st.lists(rules))
def test_doing_it_twice_changes_nothing_more(existing, wanted):
    before = [str(rule) for rule in existing]
    texts = [str(rule) for rule in wanted]
    added = firewall.add(before, texts)
    assert added[: len(before)] == before
    assert firewall.add(added, texts) == added
    replaced = firewall.replace(before, texts)
    assert firewall.replace(replaced, texts) == replaced
    assert {rule for rule in before if rule.endswith(" immutable")} <= set(replaced)


def test_all_bad_rules_are_named_at_once():
    with pytest.raises(InvalidInputsError) as caught:
        firewall.add(EXISTING, ["x", WEB, "y"])
    assert [problem.parameter for problem in caught.value.problems] == ["add[0]", "add[2]"]


@pytest.mark.parametrize("existing", [None, {}, "x", [None, 5]])
def test_odd_existing_rules(existing):
    assert firewall.add(existing, [WEB]) == [WEB]
