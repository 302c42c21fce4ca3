"""Arrays that grow by their first dimension, on disk or in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class ArrayInMemory:
    """An array that is appended to, as :class:`ArrayFile` is.

    Args:
        dtype: of its numbers.
        shape: of a row.
    """

    def __init__(self, dtype: type[np.generic], shape: tuple[int, ...] = ()) -> None:
        self.dtype, self.shape = np.dtype(dtype), shape
        self.parts = [np.zeros((0, *shape), self.dtype)]

    def append(self, values: object) -> None:
        """Add some rows."""
        self.parts.append(np.asarray(values, self.dtype).reshape(-1, *self.shape))

    def close(self) -> None:
        """Nothing is held open."""

    @property
    def values(self) -> np.ndarray:
        """All rows."""
        return np.concatenate(self.parts)


class ArrayFile:
    """A ``.npy`` file that is appended to.

    Plain writes, not a memory map: on a full disk they fail with an error, a memory map with a crash.

    Args:
        path: of the file.
        dtype: of its numbers.
        shape: of a row.
    """

    def __init__(self, path: Path, dtype: type[np.generic], shape: tuple[int, ...] = ()) -> None:
        self.dtype, self.shape, self.rows = np.dtype(dtype), shape, 0
        self.file = path.open("wb")
        self._write_header()

    def append(self, values: object) -> None:
        """Write some rows."""
        rows = np.asarray(values, self.dtype).reshape(-1, *self.shape)
        self.file.write(rows.tobytes())
        self.rows += len(rows)

    def _write_header(self) -> None:
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.rows, *self.shape)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def close(self) -> None:
        """Write how many rows there are: numpy leaves room for more digits in the header."""
        with self.file:
            self.file.seek(0)
            self._write_header()
