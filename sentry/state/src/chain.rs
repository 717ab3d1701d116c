//! Dropping long chains of objects.

use std::sync::Arc;

/// Drops objects of one kind that name each other, without recursion.
///
/// A chain of `Arc`s (a directory names its parent, …) is dropped by the compiler with one stack
/// frame a link. An application can make such chains longer than a fiber's stack, so a type
/// that names its own kind gives its links away in its `Drop`:
///
/// ```
/// # use std::sync::Arc;
/// struct Directory {
///     parent: Option<Arc<Directory>>,
/// }
///
/// impl Drop for Directory {
///     fn drop(&mut self) {
///         state::drop_linked(self.parent.take(), |directory| directory.parent.take());
///     }
/// }
/// # let mut last = None;
/// # for _ in 0..100_000 { last = Some(Arc::new(Directory { parent: last })); }
/// ```
///
/// `take` takes the links out of an object that nobody else holds: an `Option`, or a `Vec`
/// for several. A link behind a lock is taken through `get_mut`. A type with such a `Drop` has
/// a test that drops a chain of 100,000.
pub fn drop_linked<T, L>(links: L, mut take: impl FnMut(&mut T) -> L)
where
    L: IntoIterator<Item = Arc<T>>,
{
    let mut held: Vec<Arc<T>> = links.into_iter().collect();
    while let Some(object) = held.pop() {
        if let Some(mut last) = Arc::into_inner(object) {
            held.extend(take(&mut last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Node {
        children: Vec<Arc<Node>>,
    }

    impl Drop for Node {
        fn drop(&mut self) {
            drop_linked(std::mem::take(&mut self.children), |node| {
                std::mem::take(&mut node.children)
            });
        }
    }

    #[test]
    fn a_chain_of_a_million_drops_on_a_small_stack() {
        let drop_it = || {
            let mut last = Arc::new(Node::default());
            for _ in 0..1_000_000 {
                last = Arc::new(Node { children: vec![Arc::default(), last] });
            }
        };
        std::thread::Builder::new().stack_size(64 << 10).spawn(drop_it).unwrap().join().unwrap();
    }

    #[test]
    fn what_is_still_held_elsewhere_keeps_its_links() {
        let kept = Arc::new(Node { children: vec![Arc::default()] });
        drop(Node { children: vec![Arc::clone(&kept)] });
        assert_eq!(kept.children.len(), 1);
    }
}
