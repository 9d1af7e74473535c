//! When a run ends: by time, by count, by a stop from outside.
