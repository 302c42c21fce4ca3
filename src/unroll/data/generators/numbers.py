"""Numbers in digits and in English words: can a network that has read at most six digits read nine?

The source is read digit by digit: ``40812`` is ``forty thousand eight hundred twelve``. Train and validation have
numbers of up to six digits. So that train has every word, one training item in a hundred is a round million, such as
``3000000``; otherwise ``million`` would be a word that no network could know. The test split has numbers of two to nine
digits, and each line the number of digits as its group.
"""

from __future__ import annotations

from unroll.data.generators.base import Draw, Generator

TEST = {2: 30, 3: 170, 4: 200, 5: 200, 6: 200, 7: 200, 8: 200, 9: 200}  # items by number of digits
SIZES = {"train": 12_000, "validation": 500, "test": sum(TEST.values())}
CYCLE = 1_000  # items after which the numbers of digits recur, the rare ones last: validation is shorter, and has none
SMALL = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def _item(draw: Draw, number: int) -> str:
    """A line of train: 1 % have one digit, 2 % two, and 10, 19, 29 and 38 % three to six; 1 % are round millions."""
    at = number % CYCLE
    if at >= 990:
        return _line(int(draw() * 10))
    if at >= 980:
        return _line(1_000_000 * (1 + int(draw() * 9)))
    if at >= 960:
        return _line(_number(draw, 2))
    return _line(_number(draw, (3, 4, 4, 5, 5, 5, 6, 6, 6, 6)[at % 10]))


def _test_item(draw: Draw, number: int) -> str:
    """A line of test, whose number of digits its index decides."""
    for digits, count in TEST.items():
        if number < count:
            return _line(_number(draw, digits))
        number -= count
    raise IndexError(number)


def _number(draw: Draw, digits: int) -> int:
    """A number with a given number of digits."""
    least: int = 10 ** (digits - 1)
    return least + int(draw() * 9 * least)


def _line(number: int) -> str:
    """Digits, words and number of digits."""
    return f"{number}\t{' '.join(_words(number))}\t{len(str(number))}\n"


def _words(number: int) -> list[str]:
    """The number in words, without hyphens and without ``and``."""
    if number < 20:
        return [SMALL[number]]
    for size, name in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = _words(number % size) if number % size else []
            return [*_words(number // size), name, *rest]
    return [TENS[number // 10 - 2], *([SMALL[number % 10]] if number % 10 else [])]


GENERATOR = Generator(_item, SIZES, seed=300, suffix=".tsv", test_item=_test_item)
