//! A run: workers, control thread, handle.
