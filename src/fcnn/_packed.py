"""How much a packed file may be unpacked."""

# Tables and images of real data shrink to a tenth, those of few values to a fiftieth; what deflate
# packs best, one byte over and over, to a thousandth.
MOST_RATIO = 200
# That much is read of any file: what a reader takes beside it is no less.
FEW_BYTES = 1 << 24


def most_unpacked(packed: int) -> int:
    """Return how many bytes are read of a file of `packed` bytes."""
    return max(FEW_BYTES, MOST_RATIO * packed)


def too_large(source: object, packed: int) -> str:
    """Return the refusal of a file that would be more."""
    return (
        f"{source}: its {packed:,} bytes would be more than {most_unpacked(packed):,} unpacked, as "
        "a damaged or hostile file's; if it is neither, unpack it first"
    )
