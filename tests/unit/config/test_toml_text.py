import tomllib

from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.config.load import load_text
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.server_section import Tls
from realtime_proxy.config.toml_text import comment, route_text, section, value_text

texts = st.text(st.characters(codec="utf-8"))


@given(
    texts
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.lists(texts)
    | st.dictionaries(texts, texts)
)
def test_values_come_back(value):
    assert tomllib.loads(f"a = {value_text(value)}") == {"a": value}


@given(texts)
def test_a_comment_is_nothing_else(text):
    assert tomllib.loads("\n".join(comment(text, "  "))) == {}


def test_long_comments_are_folded():
    lines = list(comment("word " * 50, "  "))
    assert len(lines) > 1
    assert all(len(line) <= 100 for line in lines)
    assert lines[1].startswith("#   word")


def test_a_section_has_the_given_keys_in_the_order_of_the_schema(tmp_path):
    tls = Tls("127.0.0.1:2", str(tmp_path / "c"), str(tmp_path / "k"), str(tmp_path))
    for name in "ck":
        (tmp_path / name).touch()
    lines = list(section("server", {"tls": (tls,), "debug": True, "listen": ("127.0.0.1:1",)}))
    assert lines[1] == "[server]"
    assert [line.partition(" =")[0] for line in lines if " = " in line][:2] == ["listen", "debug"]
    server = load_text("\n".join(lines)).server
    assert server.tls == (tls,)
    assert server.debug


@given(
    st.builds(
        Route,
        targets=st.lists(
            st.builds(
                Target,
                url=st.just("http://a:1"),
                over_http=st.booleans(),
                subscribe=st.lists(texts.filter(bool), max_size=2).map(tuple),
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
        id=texts,
        host=st.sampled_from(["*", "a.test"]),
        path=texts,
        protocol=st.sampled_from(["", "http"]),
        tls=st.sampled_from([None, True, False]),
        channel_prefix=texts,
        grip=st.booleans(),
        debug=st.booleans(),
        path_replace=st.sampled_from([None, "", "/a"]),
        set_headers=st.dictionaries(
            st.sampled_from(["X-A", "X.B", "_c"]),
            st.text(st.characters(codec="utf-8", min_codepoint=32, exclude_characters="\x7f")),
        ),
    )
)
def test_routes_come_back(route):
    assert load_text("\n".join(route_text(route))).route == (route,)
