"""Answers that are kept: how long, how many, and what forgets them."""

from realtime_proxy.pipeline.kept_answers import KeptAnswers


def test_an_answer_counts_until_its_end():
    kept = KeptAnswers(10)
    kept.keep(b"q", "yes", 5.0)
    assert kept.get(b"q", 4.9) == "yes"
    assert kept.get(b"other", 4.9) is None
    assert kept.get(b"q", 5.0) is None
    assert len(kept) == 0  # it takes no room any more


def test_the_oldest_makes_room():
    kept = KeptAnswers(2)
    for name in (b"a", b"b", b"a", b"c"):  # `a` was renewed
        kept.keep(name, name, 9.0)
    assert [kept.get(name, 0.0) for name in (b"a", b"b", b"c")] == [b"a", None, b"c"]


def test_answers_are_forgotten():
    kept = KeptAnswers(2)
    kept.keep(b"a", 1, 9.0)
    kept.forget(b"a")
    kept.forget(b"b")
    assert kept.get(b"a", 0.0) is None


def test_questions_are_not_in_memory():
    kept = KeptAnswers(2)
    kept.keep(b"Bearer secret", 1, 9.0)
    assert "secret" not in repr(vars(kept))
