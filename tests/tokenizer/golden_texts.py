"""The texts whose tokens make_fixtures.py writes down."""

import random

WRITTEN = [
    "", "a", " ", "\n", "  ", " a", "a ", "Hello, world!", "Hello world  again   and    again",
    "The quick brown fox jumps over the lazy dog.", "don't we'll I'm they've you're he'd it's",
    "DON'T WE'LL I'M IT'S", "'s't're've'm'll'd", "''s 'r 'v 'l 're'", "rock 'n' roll's '", "'",
    "x's x'S x' s", "'re'lly", "can\u2019t won\u2019t", "__init__ _'s_", "!'s", "1's 2'd",
    "tabs\tand\t\ttabs", "line\nline\n\nline\r\nline\r\n\r\n", "   lead", "trail   ", "\n\n\n", " \n \n ",
    "a\n b", "a \nb", "a  \n  b", "a\u00a0b \u00a0 c\u00a0\u00a0d", "a\u3000b\u3000\u3000c", "a\u2028b\u2029c\u0085d",
    "\u200bzero\u200bwidth\u200d joiner\ufeff", "a\x00b\x01\x1c\x1d\x1e\x1f\x7f", "\x0b\x0c", "a\u180eb",
    "123 4567 89,012.34 -5e10 0x1F", "3.14159265358979323846", "1st 2nd 3rd a1b2c3", "²³¹¼½¾ ⅷ Ⅷ ① ⒈ 〇一二三",
    "٠١٢٣ ०१२३ ๐๑๒๓ 𝟘𝟙𝟚 ㊿", "Ünïcödé ñandú façade œuvre ßtraße İstanbul ıI", "naïve e\u0301a\u0300 n\u0303o",
    "Привет, мир! Ёжик", "Γειά σου Κόσμε", "שלום עולם שָׁלוֹם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก",
    "你好，世界。", "こんにちは世界 カタカナ ｶﾅ", "안녕하세요 세계 각", "გამარჯობა", "Բարեւ", "አማርኛ", "ខ្មែរ", "မြန်မာ", "བོད་སྐད",
    "\U00010330\U00010331 \U0001d49c\U0001d4d0 \U00020000\U0002a6d6", "😀😃 😄😁😆", "👨‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈 🇩🇪🇫🇷", "1️⃣ #️⃣ ❤️",
    "a😀b 😀 c", "\ufffd \ufffe \U0010ffff \ue000", "int main(int argc, char** argv) {\n  return argc > 1 ? 0 : -1;\n}\n",
    "def f(x):\n    if x:\n        return {'a': [1, 2, 3]}\n\treturn None\n", "<div class=\"x\">&nbsp;</div>",
    "https://example.com/a/b?c=d&e=%20#f user@example.com", "$100 €50 £20 ¥5 50% ±3° №7", "a+b=c; a&&b || !c",
    "--- *** === ... ??? !!!", "“quoted” ‘text’ — dash – en … ellipsis", "C:\\path\\to\\file", "\\n \\u0041",
    "<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|endoftext|><|endoftext|>", "<|endoftext|", "<|<|endoftext|>|>",
    "<|endoftext|> 's", "x <|endoftext|>\n\n<|endoftext|>  y", "<|EndOfText|>", "<a><b><a><b> <a>b><ab abc abcd <sp> <sp>",
    "b><a> xx x abcab ca<", "hello shello hello", "lowlowlowerlowest newest widest", "a" * 70, "ab" * 60, " " * 70 + "x",
    "=" * 100, "-" * 33 + " " + "_" * 65, "\n" * 40, "0123456789" * 8, "Ġ Ċ ĉ ā Ā ł Ń", "¡¢£ ¬\u00ad® ÿþ",
    "antidisestablishmentarianism supercalifragilisticexpialidocious", "Donaudampfschifffahrtsgesellschaftskapitän",
    "ZZZqqqXXXjjj kkkvvvwww", "SolidGoldMagikarp RandomRedditorWithNo  attRot", "ÃÂÃÂÃÂÃÂÃÂÃÂÃÂÃÂ",
]

# What words begin and end with, so that neighbours fall together in every way.
PIECES = list("aZé1²½ß٣९中😀'\"!-_.,<>|\t\n\r\x0b\u00a0\u2003\u3000\u0301\u200d\ufeff") + [
    " ", "  ", "   ", "'s", "'t", "'re", "'ve", "'ll", "'d", "'m", "'r", " '", "the", " the", "ing", " 12", "\n\n",
    "<|endoftext|>", "<a>", "<b>", "abc"]


def random_texts(seed, count, alphabet, length):
    rng = random.Random(seed)
    for _ in range(count):
        yield "".join(rng.choices(alphabet, k=rng.randrange(1, length)))


def scalar_texts(seed, count, length):
    """Random code points of every plane, low ones more often."""
    rng = random.Random(seed)
    for _ in range(count):
        points = (int(2 ** rng.uniform(0, 20.08)) for _ in range(rng.randrange(1, length)))
        yield "".join(chr(p) for p in points if not 0xD800 <= p < 0xE000 and p < 0x110000)


def byte_texts(seed, count, length):
    """Random bytes; the oracle takes text only, so what is not UTF-8 becomes U+FFFD."""
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.randbytes(rng.randrange(1, length)).decode("utf-8", "replace")


def all_texts():
    return WRITTEN + list(random_texts(1, 80, PIECES, 40)) + list(scalar_texts(2, 30, 40)) + list(byte_texts(3, 20, 60))
