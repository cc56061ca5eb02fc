"""What the conversion of a Pushpin configuration has to tell a person."""

import attrs


@attrs.frozen
class Note:
    """Something a person must know of a conversion: where it comes from, and what it is."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"
