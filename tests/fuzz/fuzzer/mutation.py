"""Valid input made wrong: bytes flipped, cut, doubled, mixed; values put in the place of others."""

import copy

# No input is made longer than this: enough to cross every limit of a head.
MAX_BYTES = 40_000
# Of this share of the inputs only one line is touched.
GENTLE = 0.5

ODD_BYTES = b"\x00\x09\x0a\x0d\x20\x22\x25\x2c\x3a\x3b\x5c\x7f\x80\xc0\xff"
ODD_NUMBERS = [
    b"0",
    b"-1",
    b"65536",
    b"4294967296",
    b"18446744073709551616",
    b"1e9",
    b"0x1",
    b"\xd9\xa3",
]
ODD_VALUES = [
    None,
    True,
    0,
    -1,
    1.5,
    999,
    2**63,
    -(2**70),
    "",
    "\x00",
    "\r\nInjected: yes",
    "\ud800",
    "é" * 70,
    "x" * 5_000,
    [],
    {},
    [[]],
    [["a"]],
    {"": ""},
    [{"op": "test", "path": "/a", "value": 1}],
]


class Mutator:
    """Makes inputs of a corpus wrong, the same way each time for the same generator."""

    def __init__(self, random, corpus, words):
        self._random = random
        self._corpus = corpus
        self._words = words
        self._unchanged = list(corpus)
        self._steps = [
            self._flip_bit,
            self._flip_bit,
            self._set_byte,
            self._insert_bytes,
            self._insert_word,
            self._insert_word,
            self._replace_by_word,
            self._change_number,
            self._delete,
            self._double,
            self._repeat,
            self._truncate,
            self._swap,
            self._mix,
            self._change_line_end,
        ]
        self._gentle_steps = [
            self._flip_bit,
            self._insert_word,
            self._replace_by_word,
            self._change_number,
            self._delete,
            self._double,
            self._repeat,
        ]

    def next(self):
        """One of the corpus, wrong in one to four ways; at first each of them as it is."""
        if self._unchanged:
            return self._unchanged.pop()
        data = self._random.choice(self._corpus)
        if self._random.random() < GENTLE:
            return self._change_one_line(data)
        for _ in range(self._random.choice([1, 1, 1, 2, 2, 3, 4])):
            data = self._random.choice(self._steps)(data)[:MAX_BYTES]
        return data

    def _change_one_line(self, data):
        """Wrong in one place, within a line: the rest is as it should be, so it is read further."""
        lines = data.split(b"\r\n")
        at = self._at(lines)
        step = self._random.choice(self._gentle_steps)
        lines[at] = step(lines[at])[:MAX_BYTES].replace(b"\r\n", b"")
        return b"\r\n".join(lines)

    def _at(self, data):
        return self._random.randrange(len(data)) if data else 0

    def _span(self, data):
        start = self._at(data)
        return start, min(len(data), start + self._random.choice([1, 2, 4, 16, 64]))

    def _flip_bit(self, data):
        at = self._at(data)
        byte = (data[at] if data else 0) ^ 1 << self._random.randrange(8)
        return data[:at] + bytes([byte]) + data[at + 1 :]

    def _set_byte(self, data):
        at = self._at(data)
        return data[:at] + bytes([self._random.choice(ODD_BYTES)]) + data[at + 1 :]

    def _insert_bytes(self, data):
        at = self._at(data)
        return data[:at] + self._random.randbytes(self._random.choice([1, 2, 8, 100])) + data[at:]

    def _insert_word(self, data):
        at = self._at(data)
        return data[:at] + self._random.choice(self._words) + data[at:]

    def _replace_by_word(self, data):
        start, end = self._span(data)
        return data[:start] + self._random.choice(self._words) + data[end:]

    def _change_number(self, data):
        digits = [at for at in range(len(data)) if 48 <= data[at] <= 57]
        if not digits:
            return self._flip_bit(data)
        at = self._random.choice(digits)
        return data[:at] + self._random.choice(ODD_NUMBERS) + data[at + 1 :]

    def _delete(self, data):
        start, end = self._span(data)
        return data[:start] + data[end:]

    def _double(self, data):
        start, end = self._span(data)
        return data[:end] + data[start:]

    def _repeat(self, data):
        start, end = self._span(data)
        return data[:end] + data[start:end] * self._random.choice([2, 9, 300]) + data[end:]

    def _truncate(self, data):
        return data[: self._at(data)]

    def _swap(self, data):
        start, end = self._span(data)
        return data[:start] + data[start:end][::-1] + data[end:]

    def _mix(self, data):
        other = self._random.choice(self._corpus)
        return data[: self._at(data)] + other[self._at(other) :]

    def _change_line_end(self, data):
        new = self._random.choice([b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\r\n\r\n", b"\x00\r\n"])
        return data.replace(b"\r\n", new, self._random.choice([1, 2, -1]))


def mutated_value(random, value):
    """A JSON value with one or two of its inner values or names changed."""
    value = copy.deepcopy(value)
    for _ in range(random.choice([1, 1, 2])):
        place, key = random.choice(_places(value))
        if isinstance(place, dict) and random.random() < 0.3:
            place[random.choice([key.upper(), key + "-bin", "action", "type", "code"])] = place.pop(
                key
            )
        else:
            place[key] = copy.deepcopy(random.choice(ODD_VALUES))
        if not _places(value):
            break
    return value


def _places(value):
    """Every container in a value with one of its keys."""
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    else:
        return []
    return [place for key in keys for place in ((value, key), *_places(value[key]))]
