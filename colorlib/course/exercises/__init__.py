"""The exercises: a module a notebook, each with its checks and hints. Solutions are in `colorlib/course/solutions`."""
