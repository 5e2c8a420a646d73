"""Every case of the CUDA kernels on the host, on a GPU by each of its back ends."""

import test_cuda_parity
import test_cuda_training

# Words of that module; the GPU that the host stands in for.
_OF_THE_HOST = "test_tensors_elsewhere_are_refused", "each_gpu"

for _cases in (test_cuda_parity, test_cuda_training):
    for _name, _case in vars(_cases).items():
        if _name[:2] != "__" and _name not in _OF_THE_HOST:
            globals()[_name] = _case
