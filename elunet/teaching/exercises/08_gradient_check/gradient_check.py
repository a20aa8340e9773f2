"""Exercise 8: a gradient check, to run on a zoo of wrong layers."""


def check(layer, x):
    """Raise an AssertionError if layer's gradients at x are wrong."""
    raise NotImplementedError


if __name__ == "__main__":
    from elunet.teaching import grade, mutants

    score = grade(check, zoo=[mutant for mutant in mutants.layers() if mutant.is_findable])
    print(score)
    for result in score.mutants:
        if result.name in score.missed:
            print(f"\n{result.name}, a wrong {result.of}: {result.explain()}")
