from pathlib import Path

import attrs
import pytest

from realtime_proxy.config.pushpin_routes import convert_routes, route_from_line
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.errors import ConfigError

TARGET = Target(url="http://a:1")


def one(line):
    route, notes = route_from_line(line)
    assert notes == []
    return route


def many(*lines):
    routes, notes = convert_routes(lines, "routes", Path("/etc/pushpin"))
    return [converted.route for converted in routes], [str(note) for note in notes]


@pytest.mark.parametrize(
    ("line", "route"),
    [
        ("* a:1", Route((TARGET,))),
        ("A.test a:1", Route((TARGET,), host="A.test")),
        ("[::1] a:1", Route((TARGET,), host="[::1]")),
        ("*,proto=ws,ssl=yes a:1", Route((TARGET,), protocol="websocket", tls=True)),
        ("*,proto=http,ssl=no a:1", Route((TARGET,), protocol="http", tls=False)),
        ('*,"path_beg=/with space" a:1', Route((TARGET,), path="/with space")),
        ("*,id=x,prefix=p-,debug a:1", Route((TARGET,), id="x", channel_prefix="p-", debug=True)),
        ("*,no_grip a:1", Route((TARGET,), grip=False)),
        ("*,debug=false a:1", Route((TARGET,), debug=True)),
        ("*,sig_iss=i,sig_key=k a:1", Route((TARGET,), issuer="i", key="k")),
        ("*,aco a:1", Route((TARGET,), cross_origin=True)),
        (
            "*,sockjs=/s,sockjs_as_path=/ws a:1",
            Route((TARGET,), sockjs="/s", sockjs_as_path="/ws"),
        ),
        (
            "*,aco,jsonp_mode=basic,jsonp_cb=c,jsonp_body=b,jsonp_defcb=f.g,jsonp_defmethod=M a:1",
            Route(
                (TARGET,),
                cross_origin=True,
                json_p_mode="basic",
                json_p_callback="c",
                json_p_body="b",
                json_p_default_callback="f.g",
                json_p_default_method="M",
            ),
        ),
        ("*,jsonp_mode=extended,jsonp_cb=,jsonp_defcb= a:1", Route((TARGET,))),
        (
            "* a:1,ssl,insecure",
            Route((Target(url="https://a:1", insecure=True, trust_connect_host=False),)),
        ),
        ("* [::1]:80", Route((Target(url="http://[::1]:80"),))),
        ("* a:0080", Route((Target(url="http://a:80"),))),
        ("* test,over_http", Route((Target(test=True, over_http=True),))),
        ("id=x a:1", Route((TARGET,), id="x", host="")),
        ("*,as_host=b.test:99 a:1", Route((TARGET,), as_host="b.test:99")),
        ("*,path_rem=4 a:1", Route((TARGET,), path_remove=4)),
        ("*,path_beg=/a,path_rem=4,replace_beg= a:1", Route((TARGET,), path="/a", path_replace="")),
        ("*,path_beg=/a,replace_beg=b a:1", Route((TARGET,), path="/a", path_replace="/b")),
        (
            '*,"header=A:  b, c",header=X-Gone: a:1',
            Route((TARGET,), set_headers={"A": "b, c"}, remove_headers=("X-Gone",)),
        ),
        ("*,orig_headers a:1", Route((TARGET,), original_headers=True)),
        ("*,log_level=1 a:1", Route((TARGET,), log_level="warning")),
        ("* a:1,host=b:2,untrusted", Route((attrs.evolve(TARGET, host="b:2", untrusted=True),))),
        (
            "* a:1,ssl,trust_connect_host,client_cert=/c.pem,client_key=/k.pem",
            Route((Target(url="https://a:1", client_certificate="/c.pem", client_key="/k.pem"),)),
        ),
        ("* a:1 b:2,one_event", Route((TARGET, Target(url="http://b:2", one_event=True)))),
        ("* a:1,sub=x,sub=,sub=y", Route((Target(url="http://a:1", subscribe=("x", "y")),))),
    ],
)
def test_routes(line, route):
    assert one(line) == route


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "empty line"),
        ("*", "must specify condition and at least one target"),
        ('* "a:1', "unterminated quoted section"),
        ("*,proto=smtp a:1", "proto must be set to 'http' or 'ws'"),
        ("*,proto a:1", "proto must be set"),
        ("*,ssl=perhaps a:1", "ssl must be set to 'yes' or 'no'"),
        ("*,path_beg= a:1", "path_beg cannot be empty"),
        ("*,jsonp_mode=x a:1", "jsonp_mode must be set"),
        ("*,header=x a:1", "header must use format"),
        ("* nonsense", "target bad format"),
        ('"" a:1', "no domain or id"),
        ("debug= a:1", "no domain or id"),
        ("*,as_host=a/b a:1", "as_host: .* is not a host"),
        ("*,replace_beg=/a?b a:1", "replace_beg: .*can't begin a path"),
        ("*,sockjs=/a?b a:1", "sockjs: .*can't begin a path"),
        ("*.a.test a:1", "could never match"),
        ("a.test:80 a:1", "could never match"),
        ("* zhttp/ipc://x", "by `zhttp/` or `zws/` are not supported"),
    ],
)
def test_lines_without_a_route(line, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        route_from_line(line)
    assert caught.value.problems[0].key_path == "<route>:1"


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("*,header=Host:b a:1", "`header` left out: `Host` is set by `as_host`"),
        ("*,header=A:b,header=a:c a:1", "`header` of `a` is there twice"),
        ("*,path_rem=x a:1", "`path_rem` left out"),
        ("*,log_level=loud a:1", "`log_level` left out"),
        ("*,session a:1", "`session` left out"),
        ("*,sig_key=k a:1", "count only together"),
        ("*,sig_iss=i a:1", "count only together"),
        ("*,sig_iss=i,sig_key=base64: a:1", "count only together"),
        ("*,jsonp_defcb=alert(1) a:1", "`jsonp_defcb` left out: `alert(1)` is not the name"),
        ("*,jsonp_defmethod=put a:1", "`jsonp_defmethod` left out: `put` is not a method"),
        ("*,colour=red a:1", "`colour` is unknown"),
        ("* a:1,colour", "`colour` is unknown"),
        ("* zhttp/ipc://x a:1", "`zhttp/ipc://x` left out"),
        ("* zws/ipc://x a:1", "`zws/ipc://x` left out"),
    ],
)
def test_what_is_not_carried_over_is_noted(line, note):
    route, notes = route_from_line(line)
    assert route.targets == (TARGET,)
    assert len(notes) == 1
    assert note in str(notes[0])


def test_keys_never_show_in_notes():
    _, notes = many("*,sig_key=SECRET,x=SECRET a:1", "b,sig_iss=i,sig_key=SECRET,proto=q a:1")
    assert notes
    assert "SECRET" not in "".join(notes)


def test_key_files_are_relative_to_the_old_configuration():
    routes, _ = many("*,sig_iss=i,sig_key=file:k.pem a:1")
    assert routes[0].key == "file:/etc/pushpin/k.pem"


def test_bad_lines_are_left_out_and_noted():
    routes, notes = many("# a comment", "", "bad", "* a:1", "*,ssl=x a:1")
    assert routes == [Route((TARGET,))]
    assert [note.partition(": left out")[0] for note in notes] == ["routes:3", "routes:5"]


def test_a_second_route_with_the_same_condition_is_left_out():
    routes, notes = many("a.test a:1", "A.TEST b:2", "a.test,ssl=no a:1")
    assert len(routes) == 2
    assert notes == ["routes:2: left out: skipping duplicate condition (as routes:1)"]


def test_routes_may_share_an_id():
    routes, notes = many("a,id=x a:1", "b,id=x a:1", "id=y a:1", "id=z a:1")
    assert [route.id for route in routes] == ["x", "x", "y", "z"]
    assert notes == []
