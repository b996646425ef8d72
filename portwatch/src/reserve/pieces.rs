//! A list cut into texts that the kernel takes whole. Pure.

use crate::ports::PortList;
use std::cmp::Reverse;

/// What the kernel reads of one write: a page less one byte (`proc_do_large_bitmap`), 4 KiB being the smallest page. A
/// write of 4,096 bytes came back as 4,094 on 6.18: cut after the last number that was whole.
pub(super) const PIECE: usize = 4095;

/// The texts, in the order in which they are to be written. A list that fits one is written in the kernel's own order.
/// Else what keeps most ports of the ephemeral range comes first: those are missed while the others are not yet written,
/// and ports outside are not missed at all.
pub(super) fn pieces(list: &PortList, ephemeral: Option<(u16, u16)>) -> Vec<String> {
    let whole = list.to_string();
    if whole.len() <= PIECE {
        return vec![whole];
    }
    let (first, last) = ephemeral.unwrap_or((0, u16::MAX));
    let mut ranges = list.ranges().to_vec();
    ranges.sort_by_key(|&(low, high)| {
        let inside = (u32::from(high.min(last)) + 1).saturating_sub(u32::from(low.max(first)));
        (Reverse(inside), low)
    });
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for (low, high) in ranges {
        let entry = if low == high { low.to_string() } else { format!("{low}-{high}") };
        if !piece.is_empty() && piece.len() + 1 + entry.len() > PIECE {
            pieces.push(std::mem::take(&mut piece));
        }
        if !piece.is_empty() {
            piece.push(',');
        }
        piece.push_str(&entry);
    }
    pieces.push(piece);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_list_is_one_piece_as_the_kernel_prints_it() {
        let list = PortList::parse("80,8000-8010,50010").expect("a list");
        assert_eq!(pieces(&list, Some((32768, 60999))), ["80,8000-8010,50010"]);
        assert_eq!(pieces(&PortList::default(), None), [""]);
    }

    #[test]
    fn the_longest_list_is_cut_between_ports_and_what_is_missed_comes_first() {
        let mut list = PortList::default();
        (1..=u16::MAX).step_by(2).for_each(|port| list.insert(port, port));
        list.insert(40_000, 50_000);
        let pieces = pieces(&list, Some((32_768, 60_999)));
        assert!(pieces.len() > 30 && pieces.iter().all(|piece| piece.len() <= PIECE && !piece.is_empty()));
        assert!(pieces[0].starts_with("39999-50001,32769,"), "{}", &pieces[0][..40]);
        assert_eq!(PortList::parse(&pieces.join(",")), Ok(list));
        let outside =
            |piece: &str| !(32_768..=60_999).contains(&PortList::parse(piece).expect("a list").ranges()[0].0);
        assert!(outside(&pieces[pieces.len() - 1]) && !outside(&pieces[1]));
    }
}
