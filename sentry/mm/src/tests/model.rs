//! Random histories of several processes against a model of plain bytes.

use std::sync::Arc;

use abi::{PAGE_SIZE, UserAddr};
use platform::Protection;
use proptest::prelude::*;

use super::{Box_, check};
use crate::{
    Advice, Fixed, MapRequest, Mappable, MemoryManager, RemapFlags, SharedMemory, Span, What,
};

/// Pages of the window in which everything happens.
const PAGES: usize = 40;
const BASE: u64 = 0x4000_0000;
/// Pages of each object.
const OBJECT_PAGES: usize = 24;
/// Objects 0 and 1 are mapped shared and written; object 2 is mapped private and never written.
const OBJECTS: usize = 3;
const PRIVATE_FILE: usize = 2;
/// Bytes that the model knows as one.
const BLOCK: usize = 2048;
const BLOCKS: usize = PAGE_SIZE as usize / BLOCK;

type Page = [u8; BLOCKS];

#[derive(Clone, Debug)]
enum Content {
    Own(Page),
    Object(usize, usize),
}

#[derive(Clone, Debug)]
struct Cell {
    protection: Protection,
    content: Content,
    /// What it is when its private copy is taken away.
    origin: Option<(usize, usize)>,
}

struct Process {
    mm: Arc<MemoryManager>,
    cells: Vec<Option<Cell>>,
}

struct World {
    sandbox: Box_,
    objects: Vec<Arc<SharedMemory>>,
    contents: Vec<Vec<Page>>,
    processes: Vec<Process>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    MapAnonymous(Protection, Fixed),
    MapObject(usize, Protection),
    Unmap,
    Protect(Protection),
    Write(u8),
    Read,
    DontNeed,
    Move(usize, usize),
    Resize(usize),
    Fork,
    Exit,
    Truncate(usize, usize),
    Punch(usize),
}

fn protection() -> impl Strategy<Value = Protection> {
    prop_oneof![
        4 => Just(Protection::READ_WRITE),
        2 => Just(Protection::READ),
        1 => Just(Protection::READ_EXECUTE),
        1 => Just(Protection::NONE),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => protection().prop_map(|p| Step::MapAnonymous(p, Fixed::Replace)),
        1 => Just(Step::MapAnonymous(Protection::READ_WRITE, Fixed::NoReplace)),
        3 => (0..OBJECTS, protection()).prop_map(|(object, p)| Step::MapObject(object, p)),
        2 => Just(Step::Unmap),
        3 => protection().prop_map(Step::Protect),
        12 => (1..=255_u8).prop_map(Step::Write),
        4 => Just(Step::Read),
        2 => Just(Step::DontNeed),
        2 => (0..PAGES, 1..12_usize).prop_map(|(to, len)| Step::Move(to, len)),
        2 => (1..12_usize).prop_map(Step::Resize),
        3 => Just(Step::Fork),
        1 => Just(Step::Exit),
        2 => (0..OBJECTS, 0..=OBJECT_PAGES).prop_map(|(object, size)| Step::Truncate(object, size)),
        1 => (0..2_usize).prop_map(Step::Punch),
    ]
}

/// Who does it, where (first page, pages).
type Action = (usize, usize, usize, Step);

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn memory_is_what_a_model_of_bytes_says(
        actions in proptest::collection::vec(
            (0..3_usize, 0..PAGES, 1..20_usize, step()),
            1..60,
        ),
    ) {
        let mut world = World::new();
        // Something to work on, with content.
        world.act((0, 3, 30, Step::MapAnonymous(Protection::READ_WRITE, Fixed::Replace)));
        world.act((0, 3, 30, Step::Write(7)));
        for action in actions {
            world.act(action);
            world.processes.iter().for_each(|process| check(&process.mm));
        }
        world.compare();
        let World { sandbox, objects, processes, .. } = world;
        drop(processes);
        for object in &objects {
            prop_assert_eq!(object.cache().writable_mappings(), 0);
        }
        drop(objects);
        sandbox.assert_empty();
    }
}

fn addr(page: usize) -> UserAddr {
    UserAddr::new(BASE + page as u64 * PAGE_SIZE)
}

fn bytes(pages: usize) -> u64 {
    pages as u64 * PAGE_SIZE
}

impl World {
    fn new() -> Self {
        let sandbox = Box_::new(128 << 20);
        let objects: Vec<_> = (0..OBJECTS).map(|_| sandbox.shared(OBJECT_PAGES as u64)).collect();
        let mut contents = vec![vec![[0; BLOCKS]; OBJECT_PAGES]; OBJECTS];
        for (number, page) in contents[PRIVATE_FILE].iter_mut().enumerate() {
            *page = [number as u8 + 1; BLOCKS];
            let content = [number as u8 + 1; PAGE_SIZE as usize];
            objects[PRIVATE_FILE].cache().write_at(bytes(number), &content).unwrap();
        }
        let processes = vec![Process { mm: sandbox.mm(), cells: vec![None; PAGES] }];
        Self { sandbox, objects, contents, processes }
    }

    fn act(&mut self, (who, first, len, step): Action) {
        let who = who % self.processes.len();
        let end = (first + len).min(PAGES);
        match step {
            Step::MapAnonymous(protection, fixed) => {
                self.map_anonymous(who, first, end, protection, fixed);
            }
            Step::MapObject(object, protection) => {
                self.map_object(who, first, end, object, protection);
            }
            Step::Unmap => {
                self.processes[who].mm.unmap(addr(first), bytes(end - first)).unwrap();
                self.processes[who].cells[first..end].fill(None);
            }
            Step::Protect(protection) => self.protect(who, first, end, protection),
            Step::Write(byte) => self.write(who, first, end, byte),
            Step::Read => self.read(who, first, end),
            Step::DontNeed => self.dont_need(who, first, end),
            Step::Move(to, new) => self.remap(who, first, end, Some(to), new),
            Step::Resize(new) => self.remap(who, first, end, None, new),
            Step::Fork => {
                let Process { mm, cells } = &self.processes[who];
                if self.processes.len() < 3 {
                    let child = Process { mm: mm.fork().unwrap(), cells: cells.clone() };
                    self.processes.push(child);
                }
            }
            Step::Exit => {
                if self.processes.len() > 1 {
                    self.processes.remove(who);
                }
            }
            Step::Truncate(object, size) => self.truncate(object, size),
            Step::Punch(object) => self.punch(object, first, len),
        }
    }

    fn map_anonymous(
        &mut self,
        who: usize,
        first: usize,
        end: usize,
        protection: Protection,
        fixed: Fixed,
    ) {
        let Process { mm, cells } = &mut self.processes[who];
        let request = MapRequest::anonymous(bytes(end - first), protection).at(addr(first));
        let result = mm.map(MapRequest { fixed, ..request });
        if fixed == Fixed::NoReplace && cells[first..end].iter().any(Option::is_some) {
            assert_eq!(result, Err(abi::Errno::EEXIST));
            return;
        }
        assert_eq!(result, Ok(addr(first)));
        let content = Content::Own([0; BLOCKS]);
        cells[first..end].fill(Some(Cell { protection, content, origin: None }));
    }

    fn map_object(
        &mut self,
        who: usize,
        first: usize,
        end: usize,
        object: usize,
        protection: Protection,
    ) {
        let offset = first % 5;
        let mappable: Arc<dyn Mappable> = self.objects[object].clone();
        let what = What::File { mappable, offset: bytes(offset) };
        let shared = object != PRIVATE_FILE;
        let request = MapRequest::anonymous(bytes(end - first), protection).at(addr(first));
        let Process { mm, cells } = &mut self.processes[who];
        assert_eq!(mm.map(MapRequest { what, shared, ..request }), Ok(addr(first)));
        for (number, cell) in cells[first..end].iter_mut().enumerate() {
            let place = (object, offset + number);
            let content = Content::Object(place.0, place.1);
            *cell = Some(Cell { protection, content, origin: Some(place) });
        }
    }

    fn protect(&mut self, who: usize, first: usize, end: usize, protection: Protection) {
        let Process { mm, cells } = &mut self.processes[who];
        let hole = (first..end).find(|page| cells[*page].is_none());
        let result = mm.protect(addr(first), bytes(end - first), protection);
        assert_eq!(result.is_ok(), hole.is_none());
        for cell in cells[first..hole.unwrap_or(end)].iter_mut().flatten() {
            cell.protection = protection;
        }
    }

    /// The content of a page, if it may be touched.
    fn content(&mut self, who: usize, page: usize, write: bool) -> Option<&mut Page> {
        let cell = self.processes[who].cells[page].as_mut()?;
        if if write { !cell.protection.write } else { cell.protection == Protection::NONE } {
            return None;
        }
        if let Content::Object(object, number) = cell.content {
            let there = self.contents[object].get_mut(number)?;
            if object != PRIVATE_FILE || !write {
                return Some(there);
            }
            cell.content = Content::Own(*there);
        }
        match &mut cell.content {
            Content::Own(page) => Some(page),
            Content::Object(..) => None,
        }
    }

    fn write(&mut self, who: usize, first: usize, end: usize, byte: u8) {
        // Begins in the middle of the first page.
        let from = BLOCK as u64 * (first as u64 % 2);
        // Each page gets another byte, so that a page at a wrong place is seen.
        let of_page = |page: usize| byte.wrapping_add(page as u8);
        let mut content: Vec<u8> =
            (first..end).flat_map(|page| [of_page(page); PAGE_SIZE as usize]).collect();
        content.drain(..from as usize);
        let mm = Arc::clone(&self.processes[who].mm);
        let done = mm.write_partial(addr(first).wrapping_add(from), &content);
        let mut expected = 0;
        for page in first..end {
            let Some(there) = self.content(who, page, true) else { break };
            let skip = if page == first { first % 2 } else { 0 };
            there[skip..].fill(of_page(page));
            expected += (BLOCKS - skip) * BLOCK;
        }
        assert_eq!(done, expected);
    }

    fn read(&mut self, who: usize, first: usize, end: usize) {
        let mm = Arc::clone(&self.processes[who].mm);
        let mut content = vec![0; bytes(end - first) as usize];
        let done = mm.read_partial(addr(first), &mut content);
        let mut expected = Vec::new();
        for page in first..end {
            let Some(there) = self.content(who, page, false) else { break };
            there.iter().for_each(|byte| expected.extend([*byte; BLOCK]));
        }
        assert_eq!(done, expected.len());
        assert!(content[..done] == expected, "process {who}, pages {first}..{end}");
    }

    fn dont_need(&mut self, who: usize, first: usize, end: usize) {
        let Process { mm, cells } = &mut self.processes[who];
        let whole = cells[first..end].iter().all(Option::is_some);
        let result = mm.advise(addr(first), bytes(end - first), Advice::DontNeed);
        assert_eq!(result.is_ok(), whole);
        cells[first..end].iter_mut().flatten().for_each(Cell::reset);
    }

    fn remap(&mut self, who: usize, first: usize, end: usize, to: Option<usize>, new: usize) {
        let Process { mm, cells } = &mut self.processes[who];
        let target = to.unwrap_or(first);
        if target + new > PAGES {
            return;
        }
        let fixed = to.map(addr);
        let flags = RemapFlags { may_move: fixed.is_some(), fixed, dont_unmap: false };
        let old = bytes(end - first);
        if mm.remap(addr(first), old, bytes(new), flags).is_err() {
            // Only of a single page is it certain that it is one mapping.
            let overlap = first < target + new && target < end;
            let certain = end - first == 1 && cells[first].is_some() && to.is_some();
            assert!(!certain || overlap);
            return;
        }
        let mut moved: Vec<_> = cells[first..end].to_vec();
        moved.truncate(new);
        cells[first..end].fill(None);
        let last = moved.last().cloned().flatten().unwrap();
        while moved.len() < new {
            let ahead = moved.len() + 1 - (end - first);
            moved.push(Some(last.fresh(ahead)));
        }
        cells[target..target + new].clone_from_slice(&moved);
    }

    fn truncate(&mut self, object: usize, size: usize) {
        self.objects[object].cache().truncate(bytes(size)).unwrap();
        let old = self.contents[object].len();
        self.contents[object].resize(size, [0; BLOCKS]);
        if object != PRIVATE_FILE || size >= old {
            return;
        }
        // Private copies beyond the end are gone, too.
        for cell in self.processes.iter_mut().flat_map(|process| &mut process.cells).flatten() {
            if cell.origin.is_some_and(|(of, page)| of == object && page >= size) {
                cell.reset();
            }
        }
    }

    fn punch(&mut self, object: usize, first: usize, len: usize) {
        let first = first % OBJECT_PAGES;
        self.objects[object].cache().punch_hole(Span::from_len(bytes(first), bytes(len)));
        let end = (first + len).min(self.contents[object].len());
        if let Some(part) = self.contents[object].get_mut(first..end) {
            part.fill([0; BLOCKS]);
        }
    }

    /// Reads every page of every process alone.
    fn compare(&mut self) {
        for who in 0..self.processes.len() {
            (0..PAGES).for_each(|page| self.read(who, page, page + 1));
            check(&self.processes[who].mm);
        }
    }
}

impl Cell {
    fn reset(&mut self) {
        self.content = match self.origin {
            Some((object, page)) => Content::Object(object, page),
            None => Content::Own([0; BLOCKS]),
        };
    }

    /// What lies `ahead` pages further in the same mapping, untouched.
    fn fresh(&self, ahead: usize) -> Self {
        let origin = self.origin.map(|(object, page)| (object, page + ahead));
        let mut cell = Self { origin, ..self.clone() };
        cell.reset();
        cell
    }
}
