#!/usr/bin/env python3
"""Makes the data of the comparison, the same bytes in every run and on every machine.

    data.py DIRECTORY [--rows N] [--files N] [--large-mib N]

DIRECTORY/1 to 4/dump.sql: a table as mariadb-dump prints it, one dump after the other: the first; the same rows again,
with the new date at its end; with 1 % of the rows updated; with another 0.1 % of them updated.
DIRECTORY/tree: small/, files of text of 0 to 8 KiB, a hundred in a directory; large/, sixteen files, of which every
second does not compress.
"""

import argparse
import os
import random
import time

STEPS = [0.0, 0.01, 0.001]  # Share of the rows that is updated before dump 2, 3, and 4.
STATEMENT_BYTES = (1 << 20) - 1024  # mariadb-dump begins a new INSERT before the statement is longer than this.
FILES_A_DIRECTORY = 100
LARGE_FILES = 16
SMALL_MAX_BYTES = 8 << 10
EPOCH = 1_767_225_600  # 2026-01-01

HEAD = """-- MariaDB dump 10.19  Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: shop
-- ------------------------------------------------------
-- Server version\t10.11.14-MariaDB

/*!40101 SET NAMES utf8mb4 */;
/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;

DROP TABLE IF EXISTS `orders`;
CREATE TABLE `orders` (
  `id` int(11) NOT NULL,
  `customer` int(11) NOT NULL,
  `token` char(32) NOT NULL,
  `name` varchar(60) NOT NULL,
  `email` varchar(80) NOT NULL,
  `status` varchar(10) NOT NULL,
  `amount` decimal(10,2) NOT NULL,
  `ordered` datetime NOT NULL,
  `updated` datetime NOT NULL,
  `note` text DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

LOCK TABLES `orders` WRITE;
"""
TAIL = """UNLOCK TABLES;

-- Dump completed on 2026-11-20 {hour:02}:00:07
"""
STATUSES = ["new", "paid", "packed", "sent", "returned", "refunded"]


class Dump:
    """One dump file that is being written."""

    def __init__(self, path, hour):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.file = open(path, "w", encoding="ascii", buffering=1 << 20)
        self.hour = hour
        self.statement_bytes = 0
        self.file.write(HEAD)

    def row(self, text):
        if self.statement_bytes + len(text) > STATEMENT_BYTES:
            self.file.write(";\n")
            self.statement_bytes = 0
        start = ",\n" if self.statement_bytes else "INSERT INTO `orders` VALUES\n"
        self.file.write(start)
        self.file.write(text)
        self.statement_bytes += len(start) + len(text)

    def close(self):
        self.file.write(";\n" + TAIL.format(hour=self.hour))
        self.file.close()


def word_list(rng, count):
    syllables = [c + v + e for c in "bdfghklmnprstvz" for v in "aeiou" for e in ["", "n", "r", "s", "t"]]
    return ["".join(rng.choices(syllables, k=rng.choice([1, 2, 2, 3]))) for _ in range(count)]


def phrase_list(rng, count, most_words):
    """Runs of some words, frequent words more often, as text has them."""
    words = word_list(rng, 5000)
    weights = [1 / (rank + 10) for rank in range(len(words))]
    return [" ".join(rng.choices(words, weights, k=rng.randint(2, most_words))) for _ in range(count)]


def moment(seconds):
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(EPOCH + seconds))


def changing_columns(rng, second):
    return [rng.choice(STATUSES), f"{rng.random() * 2000:.2f}", moment(second)]


def row_text(number, fixed, changing, note):
    customer, token, name, email, ordered = fixed
    status, amount, updated = changing
    return f"({number},{customer},'{token}','{name}','{email}','{status}',{amount},'{ordered}','{updated}','{note}')"


def make_dumps(directory, rows):
    rng = random.Random(1)
    changes = random.Random(2)
    names = [word.capitalize() for word in word_list(rng, 2000)]
    phrases = phrase_list(rng, 20_000, 5)
    dumps = [Dump(os.path.join(directory, str(number), "dump.sql"), 9 + number) for number in range(1, len(STEPS) + 2)]
    for number in range(1, rows + 1):
        first, last = rng.choice(names), rng.choice(names)
        customer = rng.randint(1, rows // 5 + 1)
        ordered = number * 25 + rng.randint(0, 24)
        email = f"{first.lower()}.{last.lower()}{customer % 1000}@example.org"
        fixed = (customer, f"{rng.getrandbits(128):032x}", f"{first} {last}", email, moment(ordered))
        text = row_text(number, fixed, changing_columns(rng, ordered + rng.randint(0, 864_000)), rng.choice(phrases))
        dumps[0].row(text)
        for share, dump in zip(STEPS, dumps[1:]):
            if changes.random() < share:
                note = changes.choice(phrases)
                text = row_text(number, fixed, changing_columns(changes, 28_000_000 + number % 3600), note)
            dump.row(text)
    for dump in dumps:
        dump.close()


def text_bytes(rng, phrases, length):
    parts = []
    missing = length
    while missing > 0:
        some = rng.choices(phrases, k=missing // 25 + 1)
        parts.append("\n".join(some))
        missing -= len(parts[-1]) + 1
    return "\n".join(parts).encode("ascii")[:length]


def small_size(rng):
    """Of a file; one of fifty is empty, and half of them have less than 1.5 KiB."""
    if rng.random() < 0.02:
        return 0
    return min(int(rng.lognormvariate(7.3, 1.0)), SMALL_MAX_BYTES)


def write_file(path, content, second):
    with open(path, "wb") as file:
        file.write(content)
    os.utime(path, (EPOCH + second, EPOCH + second))


def make_tree(directory, files, large_mib):
    rng = random.Random(3)
    phrases = phrase_list(rng, 50_000, 8)
    parent = ""
    for number in range(files):
        if number % FILES_A_DIRECTORY == 0:
            group = number // FILES_A_DIRECTORY
            parent = os.path.join(directory, "small", f"{group // 32:02}", f"{group:04}")
            os.makedirs(parent)
        name = f"{rng.choice(phrases).split()[0]}-{number:06}.txt"
        write_file(os.path.join(parent, name), text_bytes(rng, phrases, small_size(rng)), number)
    os.makedirs(os.path.join(directory, "large"))
    for number in range(LARGE_FILES):
        length = (large_mib << 20) // LARGE_FILES
        content = text_bytes(rng, phrases, length) if number % 2 else rng.randbytes(length)
        write_file(os.path.join(directory, "large", f"part-{number:04}"), content, number)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--large-mib", type=int, default=256)
    given = parser.parse_args()
    os.umask(0o022)
    make_dumps(given.directory, given.rows)
    make_tree(os.path.join(given.directory, "tree"), given.files, given.large_mib)


if __name__ == "__main__":
    main()
