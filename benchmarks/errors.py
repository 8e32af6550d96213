"""What keeps the benchmark from a result."""


class BenchError(Exception):
    """Told in one line, with the mend where there is one."""
