"""Grade submitted notebooks in bulk: `python tools/grading FOLDER [--csv report.csv]`; see site/teachers.md."""

import os
import sys

# NumPy and PyTorch read these when they are imported: one thread, so that a fork is safe, and no GPU.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")

from grade import main

if __name__ == "__main__":
    sys.exit(main())
