//! The header in which upstreams name costs.

use gibbon_message::Headers;

/// Adds what the header names to the costs, by the position of the limit. Names that are no limit, and parts that are
/// not `name=number`, are passed over: the header is data of an upstream, not configuration.
pub fn read<'l>(headers: &Headers, name: &str, limits: impl Iterator<Item = &'l str> + Clone, costs: &mut [u64]) {
    for part in headers.get_all(name).flat_map(|value| value.split(|byte| *byte == b',')) {
        let Some((limit, cost)) = std::str::from_utf8(part).ok().and_then(|part| part.split_once('=')) else {
            continue;
        };
        let position = limits.clone().position(|known| known == limit.trim());
        if let Some(total) = position.and_then(|at| costs.get_mut(at))
            && let Some(cost) = number(cost.trim())
        {
            *total = total.saturating_add(cost);
        }
    }
}

/// Costs are counted in whole units; a part of one counts as one. What is not above zero counts as nothing.
fn number(text: &str) -> Option<u64> {
    /// Far above any sensible cost, and far below where sums could overflow.
    const MOST: f64 = 1e12;
    let cost = text.parse::<f64>().ok().filter(|cost| cost.is_finite())?;
    Some(cost.clamp(0.0, MOST).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(value: &str) -> [u64; 2] {
        let mut headers = Headers::new();
        headers.append("X-Cost", value);
        let mut costs = [0; 2];
        read(&headers, "x-cost", ["a", "b"].into_iter(), &mut costs);
        costs
    }

    #[test]
    fn costs_are_named_numbers() {
        assert_eq!(costs("a=1, b = 2"), [1, 2]);
        assert_eq!(costs("a=1,a=2"), [3, 0]);
        assert_eq!(costs("b=0.5"), [0, 1]);
    }

    #[test]
    fn what_is_not_understood_costs_nothing() {
        for value in ["", "a", "a=", "a=x", "c=1", "a=-1", "a=1=2", "a=nan", "a=inf"] {
            assert_eq!(costs(value), [0, 0], "{value}");
        }
        assert_eq!(costs("a=1e300,a=1e300"), [2_000_000_000_000, 0]);
    }
}
