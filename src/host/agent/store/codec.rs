//! How an agent and a key become one key of the database: the length of the name in one byte, the name, the
//! key. No two pairs become the same, and the keys of one agent stand together in their own order.

/// Bytes of the longest name: its length is one byte.
pub(super) const MAX_NAME: usize = 255;

/// `agent` has at most [`MAX_NAME`] bytes; a longer one would be cut.
pub(super) fn encode(agent: &str, key: &[u8]) -> Vec<u8> {
    let name = agent.as_bytes().get(..MAX_NAME).unwrap_or(agent.as_bytes());
    let mut encoded = Vec::with_capacity(1 + name.len() + key.len());
    encoded.push(name.len() as u8);
    encoded.extend_from_slice(name);
    encoded.extend_from_slice(key);
    encoded
}

/// The key in what [`encode`] made for `agent`; `None` if it was made for another one.
pub(super) fn decode<'a>(agent: &str, encoded: &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = encoded.split_first()?;
    if usize::from(*len) != agent.len() {
        return None;
    }
    rest.strip_prefix(agent.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name() -> impl Strategy<Value = String> {
        prop_oneof!["[ab._-]{1,3}", "[a-z0-9._-]{1,64}", "\\PC{1,20}"]
    }

    proptest! {
        #[test]
        fn every_pair_comes_back_and_belongs_to_its_agent_alone(
            agent in name(), other in name(), key in prop::collection::vec(any::<u8>(), 0..40)
        ) {
            let encoded = encode(&agent, &key);
            prop_assert_eq!(decode(&agent, &encoded), Some(&key[..]));
            prop_assert_eq!(decode(&other, &encoded).is_some(), agent == other);
        }

        #[test]
        fn keys_of_an_agent_keep_their_order_and_prefixes(
            agent in name(), a in prop::collection::vec(0u8..4, 0..6), b in prop::collection::vec(0u8..4, 0..6)
        ) {
            let (x, y) = (encode(&agent, &a), encode(&agent, &b));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.starts_with(&y), a.starts_with(&b));
        }
    }
}
