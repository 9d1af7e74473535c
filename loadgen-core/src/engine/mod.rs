//! The loop: one worker, its connections, its pacers.
