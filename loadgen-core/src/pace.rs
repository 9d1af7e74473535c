//! When the next request is due: closed loop, fixed and Poisson arrivals.
