"""Arrays that grow along their first dimension, on disk or in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class ArrayInMemory:
    """An array in memory with the interface of :class:`ArrayFile`.

    Args:
        dtype: type of its elements.
        shape: shape of a row.
    """

    def __init__(self, dtype: type[np.generic], shape: tuple[int, ...] = ()) -> None:
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self.parts = [np.zeros((0, *shape), self.dtype)]

    def append(self, values: object) -> None:
        """Append rows."""
        self.parts.append(np.asarray(values, self.dtype).reshape(-1, *self.shape))

    def close(self) -> None:
        """Do nothing: no file is open."""

    @property
    def values(self) -> np.ndarray:
        """All rows."""
        return np.concatenate(self.parts)


class ArrayFile:
    """A ``.npy`` file opened for appending.

    Uses plain writes, which raise an error on a full disk; a memory map would crash.

    Args:
        path: path of the file.
        dtype: type of its elements.
        shape: shape of a row.
    """

    def __init__(self, path: Path, dtype: type[np.generic], shape: tuple[int, ...] = ()) -> None:
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self.rows = 0
        self.file = path.open("wb")
        self._write_header()

    def append(self, values: object) -> None:
        """Append rows."""
        rows = np.asarray(values, self.dtype).reshape(-1, *self.shape)
        self.file.write(rows.tobytes())
        self.rows += len(rows)

    def _write_header(self) -> None:
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.rows, *self.shape)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def close(self) -> None:
        """Write the number of rows into the header, where numpy reserves space for more digits."""
        with self.file:
            self.file.seek(0)
            self._write_header()
