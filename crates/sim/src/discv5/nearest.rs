//! The truth that lookups are measured by.

use peerage_discv5::NodeId;

/// Many ids, and which of them are nearest to any target.
#[derive(Clone, Debug, Default)]
pub struct Nearest {
    sorted: Vec<NodeId>,
}

impl FromIterator<NodeId> for Nearest {
    fn from_iter<I: IntoIterator<Item = NodeId>>(ids: I) -> Self {
        let mut sorted: Vec<_> = ids.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self { sorted }
    }
}

impl Nearest {
    /// How many ids there are.
    pub const fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The `count` ids nearest to `target`, the nearest first; `except` is left out.
    pub fn to(&self, target: &NodeId, count: usize, except: &NodeId) -> Vec<NodeId> {
        let mut found = Vec::with_capacity(count + 1);
        // Ids that share a longer prefix with the target are nearer, so the half on its side comes
        // first, at every depth.
        let mut later = vec![(&self.sorted[..], 0u16)];
        while let Some((ids, depth)) = later.pop() {
            if found.len() >= count {
                break;
            }
            if ids.len() <= 32 || depth >= 256 {
                let mut ids: Vec<_> = ids.iter().filter(|id| *id != except).copied().collect();
                ids.sort_unstable_by_key(|id| target.xor(id));
                found.extend(ids);
                continue;
            }
            let (zeros, ones) = ids.split_at(ids.partition_point(|id| !bit(id, depth)));
            let (near, far) = if bit(target, depth) {
                (ones, zeros)
            } else {
                (zeros, ones)
            };
            later.push((far, depth + 1));
            later.push((near, depth + 1));
        }
        found.truncate(count);
        found
    }
}

fn bit(id: &NodeId, at: u16) -> bool {
    let byte = id.as_bytes().get(usize::from(at / 8));
    byte.is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
}
