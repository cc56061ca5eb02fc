from realtime_proxy.cli.problems import show, show_problems
from realtime_proxy.errors import ConfigError, Problem

PROBLEM = Problem("a.b", "is wrong")


def test_each_problem_is_a_line_on_standard_error(capsys):
    show([PROBLEM, Problem("", "can't be read")], "x.toml")
    assert capsys.readouterr() == ("", "x.toml: a.b: is wrong\nx.toml: can't be read\n")


def test_the_file_of_the_error_goes_first(capsys):
    show_problems(ConfigError([PROBLEM], "its.toml"), "other.toml")
    show_problems(ConfigError([PROBLEM]), "other.toml")
    assert capsys.readouterr().err == "its.toml: a.b: is wrong\nother.toml: a.b: is wrong\n"
