//! Which worker gets which connection, and where it goes.
//!
//! A pure function of the plan, so that two runs of one plan use the same five-tuples.

use crate::workload::{Route, RouteId};

/// One connection of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dealt {
    /// Its number over the whole run, from 0.
    pub number: u32,
    /// Where its requests go.
    pub route: RouteId,
    /// Its number within the route, over all workers: connections go to the route's endpoints
    /// round-robin by it.
    pub of_route: u32,
}

/// How many of `total` each route gets: by weight, the remainder to the largest fractions, and at
/// least one each while there are enough.
#[must_use]
pub fn shares(total: u32, routes: &[Route]) -> Vec<u32> {
    let weights: Vec<u64> = routes.iter().map(|r| u64::from(r.weight.max(1))).collect();
    let sum: u64 = weights.iter().sum::<u64>().max(1);
    let mut counts: Vec<u32> = weights
        .iter()
        .map(|w| (u64::from(total) * w / sum) as u32)
        .collect();
    let mut order: Vec<usize> = (0..routes.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse((u64::from(total) * weights[i]) % sum));
    let left = total - counts.iter().sum::<u32>();
    for &i in order.iter().take(left as usize) {
        counts[i] += 1;
    }
    for i in 0..counts.len() {
        let richest = (0..counts.len()).max_by_key(|&j| counts[j]);
        if let Some(j) = richest
            && counts[i] == 0
            && counts[j] > 1
        {
            counts[j] -= 1;
            counts[i] += 1;
        }
    }
    counts
}

/// Deals `connections` over the workers: every worker gets its part of every route, and no two
/// workers differ by more than one connection.
#[must_use]
pub fn deal(connections: u32, routes: &[Route], workers: usize) -> Vec<Vec<Dealt>> {
    let workers = workers.max(1);
    let mut hands: Vec<Vec<Dealt>> = vec![Vec::new(); workers];
    let mut number = 0;
    for (route, count) in shares(connections, routes).into_iter().enumerate() {
        for of_route in 0..count {
            hands[number as usize % workers].push(Dealt {
                number,
                route,
                of_route,
            });
            number += 1;
        }
    }
    hands
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Endpoint;

    fn route(weight: u32) -> Route {
        let endpoints = vec![Endpoint::Unix("x".into())];
        Route {
            name: "r".into(),
            endpoints,
            weight,
            rate_weight: weight,
            paced: true,
        }
    }

    #[test]
    fn nothing_is_dropped_and_every_route_is_served() {
        assert_eq!(shares(100, &[route(9), route(1)]), [90, 10]);
        assert_eq!(shares(10, &[route(1), route(1), route(1)]), [4, 3, 3]);
        assert_eq!(shares(3, &[route(98), route(1), route(1)]), [1, 1, 1]);
        assert_eq!(shares(1, &[route(1), route(1)]), [1, 0]);
        for total in 1..50 {
            let hands = deal(total, &[route(3), route(1)], 4);
            let sizes: Vec<usize> = hands.iter().map(Vec::len).collect();
            assert_eq!(sizes.iter().sum::<usize>(), total as usize);
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
    }
}
