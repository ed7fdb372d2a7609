//! Order of short lists.

/// Sorts a short list by a key; entries with equal keys keep their order. It takes n² steps for n entries, so it is for
/// lists with a small bound.
///
/// The library's sort is some 5 KiB of code for each kind of entry, and the node image is fetched at every power-on.
pub fn sort_few_by_key<T, K: Ord>(list: &mut [T], mut key: impl FnMut(&T) -> K) {
    for end in 1..list.len() {
        for at in (1..=end).rev() {
            let Some([before, this]) = list.get_mut(at - 1..=at) else { break };
            if key(this) >= key(before) {
                break;
            }
            core::mem::swap(before, this);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_each_length_come_into_order_and_equal_ones_stay_in_theirs() {
        for length in 0..70_u32 {
            // A walk that meets most keys more than once.
            let mut list: [(u32, u32); 70] = core::array::from_fn(|index| {
                let index = index as u32;
                (index.wrapping_mul(2_654_435_761) >> 27, index)
            });
            let list = &mut list[..length as usize];
            let mut expected: [(u32, u32); 70] = [(0, 0); 70];
            let expected = &mut expected[..length as usize];
            expected.copy_from_slice(list);
            expected.sort_unstable();
            sort_few_by_key(list, |entry| entry.0);
            assert_eq!(list, expected, "{length}");
        }
    }
}
