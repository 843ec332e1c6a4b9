import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neonblue_api.strict_json import JsonRefused, check_object, read_strictly

LITERALS = st.sampled_from(
    ["0", "-0", "0.0", "1e5", "1E400", "1e-400", "0e-500", "9" * 350, "9" * 450, "0." + "1" * 450, "5e-324"]
)
TEXT = st.text(alphabet=st.sampled_from(list('ab:{}[]"\\/\x00\n\u00e9\U0001f469e0123456789')), max_size=12)


def _documents():
    scalars = st.one_of(st.none().map(json.dumps), st.booleans().map(json.dumps), LITERALS, TEXT.map(json.dumps))
    scalars |= TEXT.map(lambda text: json.dumps(text, ensure_ascii=False))
    keys = st.one_of(TEXT, st.sampled_from(["a", "b", ":", "a:"])).map(json.dumps)
    escaped = st.sampled_from(['"\\u003a"', '"\\u0061"', '"\\ud800"', '"\\u0000"'])

    def nest(inner):
        members = st.lists(st.tuples(keys | escaped, inner), max_size=4)
        return st.one_of(
            st.lists(inner, max_size=4).map(lambda items: "[" + " , ".join(items) + "]"),
            members.map(lambda pairs: "{" + ",".join(f"{key} : {value}" for key, value in pairs) + "}"),
        )

    return nest(st.recursive(scalars | escaped, nest, max_leaves=12))


def _refusal(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except JsonRefused as refused:
        return type(refused)
    return None


@given(_documents())
def test_the_fast_check_accepts_exactly_what_the_exact_reader_accepts(document):
    raw = document.encode("utf-8", "surrogatepass")
    strict = _refusal(read_strictly, raw, max_depth=5)
    fast = _refusal(check_object, raw, max_depth=5, max_size=1_000_000)
    assert (fast is None) == (strict is None and document.startswith("{"))


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":{"b":1,"b":2}}',
        '{"a":1,"\\u0061":2}',
        '{"x":"a:b","a":1,"a":2}',
        '{"a":"\\u0000"}',
        '{"\\u0000":1}',
        '{"a":"\\ud800"}',
        '{"a":NaN}',
        '{"a":1e400}',
        '{"a":-1e400}',
        '{"a":1e-400}',
        '{"a":0.' + "1" * 450 + "}",
        '{"a":01}',
        '{"a":1,}',
        "{'a':1}",
        '{"a":1} {}',
        "",
        "[]",
        "null",
        '"a"',
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text):
    with pytest.raises(JsonRefused):
        check_object(text.encode(), max_depth=8, max_size=1000)


@pytest.mark.parametrize("text", ["{}", ' {"a" : 1} ', '{"a":"\\\\u0000"}', '{"a:b":"c:d"}', '{"a":[{"a":1},{"a":1}]}'])
def test_what_can_be_read_in_one_way_is_accepted(text):
    assert check_object(text.encode(), max_depth=8, max_size=1000) is None


def test_numbers_count_with_the_digits_that_postgresql_writes():
    with pytest.raises(JsonRefused, match="written out"):
        check_object(b'{"a":[1e308,1e308,1e308,1e308]}', max_depth=8, max_size=1000)
    check_object(b'{"a":[1e308]}', max_depth=8, max_size=1000)


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_no_nesting_is_so_deep_that_it_is_not_told_as_such(opens, closes):
    # Decoder, encoder and exact reader bear different depths; which one gives up depends on the stack.
    for depth in range(9, 1_100):
        with pytest.raises(JsonRefused, match="nested deeper than 8 levels"):
            check_object(f'{{"a":{opens * depth}1{closes * depth}}}'.encode(), max_depth=8, max_size=10_000)
