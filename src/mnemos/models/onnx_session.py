"""Opens ONNX Runtime sessions. The only module that sees ONNX Runtime, which has no type stubs."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from mnemos.errors import InvalidInput, ModelUnavailable

_runtime = cast("Any", onnxruntime)
_state = _runtime.capi.onnxruntime_pybind11_state
_FAILURES: tuple[type[Exception], ...] = (
    _state.Fail,
    _state.InvalidArgument,
    _state.InvalidGraph,
    _state.InvalidProtobuf,
    _state.NotImplemented,
    _state.RuntimeException,
)
"""What a session raises when it is opened; each is an Exception of its own, without a root."""


class Session(Protocol):
    """The part of an ONNX Runtime session that is used; any number of threads may run it."""

    def run(
        self, names: Sequence[str], feed: Mapping[str, NDArray[Any]], /
    ) -> list[NDArray[np.float32]]:
        """Compute the named outputs."""
        ...


def open_session(graph: bytes, threads: int | None = None) -> Session:
    """Load an ONNX model for the processor.

    Parameters
    ----------
    graph : bytes
        The ONNX file.
    threads : int, optional
        Threads to compute with; by default one for each core.

    Returns
    -------
    Session
        Ready to run.

    Raises
    ------
    ModelUnavailable
        If ONNX Runtime cannot run the model.
    InvalidInput
        If ``threads`` is less than 1.
    """
    if threads is not None and threads < 1:
        raise InvalidInput(f"threads={threads!r}; give 1 or more, or None for one per core.")
    options = _runtime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.execution_mode = _runtime.ExecutionMode.ORT_SEQUENTIAL
    # The graph is fused already; the basic level is for one thing, to fold casts of weights.
    options.graph_optimization_level = _runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    # Remembered for each input shape, of which there are hundreds here.
    options.enable_mem_pattern = False
    # Threads that wait by spinning would take a core from the caller after every call.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = _runtime.InferenceSession(graph, options, ["CPUExecutionProvider"])
    except _FAILURES as error:
        raise ModelUnavailable(f"ONNX Runtime cannot load the model: {error}") from error
    return cast("Session", session)
