//! The machine the generator runs on: CPUs it may use, CPU time it used.
