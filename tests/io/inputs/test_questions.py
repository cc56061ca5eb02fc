import trio

from realtime_proxy.inputs import questions as questions_module
from realtime_proxy.inputs.questions import Questions


async def test_a_question_is_settled_when_all_have_answered_or_are_gone():
    questions = Questions()
    with questions.new() as question:
        for worker in (1, 2, 3):
            question.put_to(worker)
        questions.answered(1, question.number, [b"a"])
        questions.answered(1, question.number, [b"again"])
        questions.answered(4, question.number, [b"not asked"])
        questions.gone(2)
        with trio.move_on_after(0) as scope:
            await question.settled()
        assert scope.cancelled_caught
        questions.answered(3, question.number, [])
        assert await question.settled()
    assert question.answers == {1: [b"a"], 3: []}
    questions.answered(1, question.number, [b"late"])


async def test_nobody_asked_is_settled_at_once():
    with Questions().new() as question:
        assert await question.settled()


async def test_silence_is_not_waited_out(monkeypatch, autojump_clock):
    monkeypatch.setattr(questions_module, "ANSWER_SECONDS", 5)
    with Questions().new() as question:
        question.put_to(1)
        assert not await question.settled()
        assert trio.current_time() >= 5


def test_questions_do_not_mix():
    questions = Questions()
    with questions.new() as one, questions.new() as other:
        one.put_to(1)
        other.put_to(1)
        questions.answered(1, other.number, [b"b"])
        assert (one.answers, other.answers) == ({}, {1: [b"b"]})
