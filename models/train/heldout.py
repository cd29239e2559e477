"""`python -m models.train.heldout`: writes the questions that the tests ask, the same each time."""

from . import probes

SEED = 3
COUNT = 100
KINDS = ("single", "distractors", "absent")


def main() -> None:
    probes.write(probes.FILE, probes.drawn(SEED, COUNT, KINDS))
    print(f"{probes.FILE}: {COUNT} questions of each kind and form")


if __name__ == "__main__":
    main()
