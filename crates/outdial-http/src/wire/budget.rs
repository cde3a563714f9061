//! Budgets of batches, as they are written; and whether a call fits into one at all.

use outdial_core::batch::BatchSettings;
use outdial_core::budget::{Budget, Spend};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::decimal;
use super::faults::Faults;
use crate::error::ApiResult;

/// Largest budget, in minutes and in units of money.
const BUDGET_MAX: u64 = 1_000_000_000;

/// What a batch may use; at least one of `minutes` and `money`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BudgetWish {
    /// Minutes of talk.
    #[schema(value_type = Option<f64>)]
    minutes: Option<Box<RawValue>>,
    /// Money, in the currency of `pricePerMinute`; a number or a string, at most 6 decimals.
    #[schema(value_type = Option<f64>)]
    money: Option<Box<RawValue>>,
    /// Anew every calendar day of the workspace's zone. Default `false`: once for the batch.
    per_day: Option<bool>,
}

impl BudgetWish {
    /// In the words of the core.
    pub(crate) fn parse(self, faults: &mut Faults) -> Option<Budget> {
        if self.minutes.is_none() && self.money.is_none() {
            faults.add("budget", "write minutes, money, or both");
            return None;
        }
        let seconds = self.minutes.as_deref().and_then(|raw| {
            let right = "write more than 0, at most 1000000000, in whole seconds, like 90 or 1.5";
            amount(faults, "budget.minutes", decimal::seconds(raw), BUDGET_MAX * 60, right)
        });
        let micros = self.money.as_deref().and_then(|raw| {
            let right = "write more than 0, at most 1000000000, with at most 6 decimals, like 12.5";
            let micros = decimal::units(raw, decimal::MONEY_PLACES);
            amount(faults, "budget.money", micros, BUDGET_MAX * 1_000_000, right)
        });
        Some(Budget { seconds, micros, per_day: self.per_day.unwrap_or_default() })
    }
}

/// How a calling number gets a price.
pub(crate) const PRICE_IT: &str = "PATCH /api/phones/{id} with pricePerMinute first";

/// A budget of money rests on what the calling numbers cost a minute; `prices` are theirs, and
/// `price_it` says how to give them one.
pub(crate) fn check_prices(
    settings: &BatchSettings,
    prices: &[Option<u64>],
    price_it: &str,
) -> ApiResult<()> {
    let mut faults = Faults::default();
    if let Some(most) = settings.budget.and_then(|b| b.micros) {
        match prices.iter().flatten().min() {
            None => {
                faults.add("budget.money", format!("no calling number has a price: {price_it}"));
            }
            Some(price) => {
                let call = Spend::of(settings.max_call_s.into(), *price).micros;
                one_call_fits(&mut faults, "budget.money", call, most, settings);
            }
        }
    }
    faults.finish()
}

/// A budget that is smaller than what one call reserves would never let one go.
pub(crate) fn one_call_fits(
    faults: &mut Faults,
    field: &str,
    call: u64,
    most: u64,
    s: &BatchSettings,
) {
    if call > most {
        let minutes = decimal::minutes(s.max_call_s.into());
        let text = format!(
            "the budget is smaller than one call of maxCallSeconds ({} minutes): raise it, or \
             lower maxCallSeconds",
            minutes.get()
        );
        faults.add(field, text);
    }
}

fn amount(
    faults: &mut Faults,
    field: &str,
    value: Option<u64>,
    most: u64,
    right: &str,
) -> Option<u64> {
    let value = value.filter(|n| (1..=most).contains(n));
    if value.is_none() {
        faults.add(field, right);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_must_pay_for_one_call_over_the_cheapest_number() {
        let money = Budget { micros: Some(100_000), ..Budget::default() };
        let money = BatchSettings { budget: Some(money), ..BatchSettings::default() };
        assert!(check_prices(&money, &[Some(10_000), None], PRICE_IT).is_ok());
        assert!(check_prices(&money, &[Some(10_001)], PRICE_IT).is_err());
        assert!(check_prices(&money, &[None], PRICE_IT).is_err());
        assert!(check_prices(&BatchSettings::default(), &[None], PRICE_IT).is_ok());
    }
}
