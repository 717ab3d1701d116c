//! The order in which objects can be made: each after all that it names early.

use crate::runs::Runs;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    /// On the path from the start to the present object.
    Open,
    Done,
}

/// Sorts the numbers of objects; `edges` gives, by number, the objects that one names.
///
/// Depth-first with a stack of its own: the graph may be a chain of any length.
///
/// # Errors
/// A cycle, as the numbers along it.
pub(crate) fn sort(edges: &Runs<u32>) -> Result<Vec<usize>, Vec<usize>> {
    let mut marks = vec![Mark::New; edges.len()];
    let mut order = Vec::with_capacity(edges.len());
    let mut path = Vec::new();
    for start in 0..edges.len() {
        if marks[start] == Mark::New {
            marks[start] = Mark::Open;
            path.push((start, edges.get(start).iter()));
        }
        while let Some((number, names)) = path.last_mut() {
            let Some(next) = names.next() else {
                marks[*number] = Mark::Done;
                order.push(*number);
                path.pop();
                continue;
            };
            let next = *next as usize;
            match marks[next] {
                Mark::Done => {}
                Mark::New => {
                    marks[next] = Mark::Open;
                    path.push((next, edges.get(next).iter()));
                }
                Mark::Open => {
                    let cycle = path.iter().map(|step| step.0).skip_while(|step| *step != next);
                    return Err(cycle.collect());
                }
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(of: &[&[u32]]) -> Runs<u32> {
        let mut runs = Runs::new();
        for names in of {
            runs.add(|mut items| {
                items.extend_from_slice(names);
                Ok(items)
            })
            .unwrap();
        }
        runs
    }

    #[test]
    fn an_object_comes_after_all_that_it_names() {
        assert_eq!(sort(&edges(&[&[1, 2], &[3], &[1], &[]])), Ok(vec![3, 1, 2, 0]));
    }

    #[test]
    fn a_cycle_is_named_without_what_leads_to_it() {
        assert_eq!(sort(&edges(&[&[1], &[2], &[3], &[1]])), Err(vec![1, 2, 3]));
        assert_eq!(sort(&edges(&[&[0]])), Err(vec![0]));
    }
}
