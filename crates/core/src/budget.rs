//! How much a stranger may send before it has earned more.

/// A bound on messages and on bytes; reaching either is the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The most messages allowed.
    pub messages: u32,
    /// The most bytes allowed, envelope included.
    pub bytes: usize,
}

impl Budget {
    /// Nothing at all is allowed.
    pub const NONE: Self = Self {
        messages: 0,
        bytes: 0,
    };

    /// A budget of so many messages and bytes.
    pub const fn new(messages: u32, bytes: usize) -> Self {
        Self { messages, bytes }
    }
}

/// What has been spent of a [`Budget`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Messages so far.
    pub messages: u32,
    /// Bytes so far, envelope included.
    pub bytes: usize,
}

impl Spent {
    /// Adds one message of `len` bytes, if `budget` still allows it.
    ///
    /// # Errors
    /// [`OverBudget`] when it does not; nothing is added then.
    pub fn spend(&mut self, budget: Budget, len: usize) -> Result<(), OverBudget> {
        let next = Self {
            messages: self.messages.saturating_add(1),
            bytes: self.bytes.saturating_add(len),
        };
        if next.messages > budget.messages || next.bytes > budget.bytes {
            return Err(OverBudget {
                budget,
                would_be: next,
            });
        }
        *self = next;
        Ok(())
    }

    /// The bytes of `budget` still unspent; 0 when no further message is allowed.
    pub fn bytes_left(&self, budget: Budget) -> usize {
        if self.messages >= budget.messages {
            0
        } else {
            budget.bytes.saturating_sub(self.bytes)
        }
    }
}

/// A budget that would have been exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// What was allowed.
    pub budget: Budget,
    /// What would have been spent.
    pub would_be: Spent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_at_its_count_or_its_bytes() {
        let budget = Budget::new(2, 100);
        let mut spent = Spent::default();
        spent.spend(budget, 60).unwrap();
        assert_eq!(spent.spend(budget, 41).unwrap_err().would_be.bytes, 101);
        assert_eq!(
            spent.bytes_left(budget),
            40,
            "a refused message costs nothing"
        );
        spent.spend(budget, 40).unwrap();
        assert!(spent.spend(budget, 0).is_err());
        assert_eq!(spent.bytes_left(budget), 0);
        assert!(Spent::default().spend(Budget::NONE, 0).is_err());
    }
}
