//! How much to bring in on a fault.
//!
//! A fault costs far more than a page: on ptrace one stop (10 µs and more) and one order (10 µs).

use abi::PAGE_SIZE;

use crate::Span;

/// What one fault brings in at least, where there is room: 16 pages.
const LEAST: u64 = 16 * PAGE_SIZE;

/// What one fault allocates at most: 2 MiB.
const MOST: u64 = 512 * PAGE_SIZE;

/// What one fault copies at most: a copy costs memory that is perhaps never needed.
const COPY: u64 = 8 * PAGE_SIZE;

/// How far one fault maps what exists already: this costs nothing but the order.
pub(crate) const MAP_AHEAD: u64 = 16 << 20;

/// The pages to allocate for a fault in `page`, within the free span `hole`, when `before` bytes
/// lie directly before `hole`. Whoever goes through memory in order gets as much again as it has,
/// so that a long walk takes few faults and a single touch costs little.
pub(crate) fn to_allocate(page: Span, hole: Span, before: u64) -> Span {
    let block = Span::from_len(page.start - page.start % LEAST, LEAST);
    let window = block.intersect(hole);
    if window.start != hole.start || before == 0 {
        return window;
    }
    let ahead = Span::from_len(window.start, before.clamp(LEAST, MOST));
    Span::new(window.start, window.end.max(ahead.end)).intersect(hole)
}

/// The pages to copy for a write to `page`, within `whole`.
pub(crate) fn to_copy(page: Span, whole: Span) -> Span {
    Span::from_len(page.start - page.start % COPY, COPY).intersect(whole)
}

/// The pages to look at around `page` when rights are given back, within `whole`.
pub(crate) fn to_grant(page: Span, whole: Span) -> Span {
    Span::new(page.start.saturating_sub(MOST), page.end.saturating_add(MOST)).intersect(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_in_order_takes_few_faults() {
        let all = Span::new(0, 64 << 20);
        let (mut done, mut faults) = (0, 0);
        while done < all.end {
            let hole = Span::new(done, all.end);
            let window = to_allocate(Span::page(done), hole, done);
            assert_eq!(window.start, done);
            assert!(window.len() <= MOST && window.end <= all.end);
            (done, faults) = (window.end, faults + 1);
        }
        assert!(faults < 40, "{faults}");
    }

    #[test]
    fn the_window_holds_the_page_and_stays_in_the_hole() {
        for start in 0..40 {
            for end in start + 1..=40 {
                for at in start..end {
                    for before in [0, 1, 600] {
                        let hole = Span::new(start * PAGE_SIZE, end * PAGE_SIZE);
                        let page = Span::page(at * PAGE_SIZE);
                        let window = to_allocate(page, hole, before * PAGE_SIZE);
                        assert_eq!(window.intersect(hole), window);
                        assert!(window.contains(page.start));
                    }
                }
            }
        }
    }
}
