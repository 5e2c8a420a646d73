"""Records and figures of a run for TensorBoard, by ``torch.utils.tensorboard``."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from types import TracebackType
from typing import Any

from ncg_fast import checks, files, plotting
from ncg_fast.model.rbm import RBM
from ncg_fast.plotting.arguments import ImageShape
from ncg_fast.training.history import EpochRecord

_PAGES = {"nll": "likelihood", "lr": "rates", "degree": "degrees", "density": "connections"}
_PAGES |= {"n_connections": "connections", "switched": "connections"}


class TensorBoard:
    """A callback of ``fit`` that writes each record, and filters at intervals.

    Args:
        folder: for TensorBoard's event files; made where it is missing.
        image_shape: (rows, cols) of the visible units without labels, or None.
        filters_every: epochs between figures of the filters, at least 1; 0: none.

    Raises:
        RuntimeError: the package tensorboard is missing.
        ValueError: folder is no path; filters_every is no number of epochs.

    Note:
        Close it, or use it in a ``with`` statement, so that all is in the file. Training and its
        draws stay as they are.

    Example:
        >>> import tempfile, torch, ncg_fast
        >>> rbm = ncg_fast.RBM(6, 4, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder, TensorBoard(folder) as board:
        ...     history = ncg_fast.fit(rbm, torch.eye(6), callbacks=[board], progress=False)
    """

    def __init__(
        self, folder: files.StrPath, image_shape: ImageShape = None, *, filters_every: int = 0
    ) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            remedy = "Run pip install tensorboard."
            raise RuntimeError(f"TensorBoard: needs tensorboard, got {error}. {remedy}") from error
        self._image_shape = image_shape
        self._filters_every = checks.integer("TensorBoard", "filters_every", filters_every, 0)
        path = files.checked_path("TensorBoard", "folder", folder)
        self._open = partial(SummaryWriter, str(path))
        self._writer: Any = None

    def __call__(self, rbm: RBM, record: EpochRecord) -> None:
        """Writes a record under the number of its epoch."""
        if self._writer is None:
            self._writer = self._open()  # not before there is something to write
        for name, value in asdict(record).items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(f"{_page(name)}/{name}", value, record.epoch)
        if self._filters_every and record.epoch % self._filters_every == 0:
            figure = plotting.plot_filters(rbm, self._image_shape)
            self._writer.add_figure("filters", figure, record.epoch)

    def close(self) -> None:
        """Writes what is left."""
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _page(name: str) -> str:
    """The heading that TensorBoard shows a series under."""
    return next((page for part, page in _PAGES.items() if part in name), "training")
