//! From changes of a space to lists of orders.

use std::{os::fd::AsFd, sync::Arc};

use abi::AddrRange;
use host::HostFile;
use platform::{Backing, Change, Protection};

use crate::{
    call,
    layout::fd,
    order::{LIST_MAX, Order},
    service::{FILES_MAX, Lost, Service},
    shadow::Shadow,
};

/// Changes on their way to the service thread.
pub(crate) struct Batch<'a> {
    service: &'a mut Service,
    orders: Vec<Order>,
    files: Vec<Arc<HostFile>>,
}

impl<'a> Batch<'a> {
    /// Orders that come before and after those of one list: receive files, close them.
    const RESERVE: usize = 4 + FILES_MAX;

    pub(crate) fn new(service: &'a mut Service) -> Self {
        Self { service, orders: Vec::new(), files: Vec::new() }
    }

    /// Carries out `changes`, and notes them in `shadow`.
    pub(crate) fn carry_out(mut self, shadow: &mut Shadow, changes: &[Change]) -> Result<(), Lost> {
        for change in changes {
            match change {
                Change::Map { range, .. }
                | Change::Unmap { range }
                | Change::Protect { range, .. }
                    if range.is_empty() => {}
                Change::Map { range, backing, protection } => {
                    self.map(*range, backing, *protection)?;
                    shadow.map(*range, backing.clone(), *protection);
                }
                Change::Unmap { range } => {
                    self.push(Order::new(call::MUNMAP, [range.start.get(), range.len()], 0))?;
                    shadow.unmap(*range);
                }
                Change::Protect { range, protection } => {
                    // Over a hole mprotect would fail.
                    for (start, end) in shadow.protect(*range, *protection) {
                        let args = [start, end - start, bits(*protection)];
                        self.push(Order::new(call::MPROTECT, args, 0))?;
                    }
                }
            }
        }
        self.flush()
    }

    fn push(&mut self, order: Order) -> Result<(), Lost> {
        if self.orders.len() + Self::RESERVE >= LIST_MAX {
            self.flush()?;
        }
        self.orders.push(order);
        Ok(())
    }

    /// The number under which the service thread will have `file` in this list.
    fn file(&mut self, file: &Arc<HostFile>) -> Result<u64, Lost> {
        if self.orders.len() + Self::RESERVE + 1 >= LIST_MAX {
            self.flush()?;
        }
        let known = self.files.iter().position(|other| Arc::ptr_eq(other, file));
        let index = match known {
            Some(index) => index,
            None => {
                if self.files.len() == FILES_MAX {
                    self.flush()?;
                }
                self.files.push(file.clone());
                self.files.len() - 1
            }
        };
        Ok(fd::DONATED + index as u64)
    }

    fn map(
        &mut self,
        range: AddrRange,
        backing: &Backing,
        protection: Protection,
    ) -> Result<(), Lost> {
        let (number, offset) = match backing {
            Backing::Memory { offset } => (fd::MEMORY, *offset),
            Backing::File { file, offset } => (self.file(file)?, *offset),
        };
        let start = range.start.get();
        let args = [start, range.len(), bits(protection), call::MAP_FILE, number, offset];
        self.push(Order::new(call::MMAP, args, start))
    }

    fn flush(&mut self) -> Result<(), Lost> {
        if self.orders.is_empty() {
            return Ok(());
        }
        let mut orders = std::mem::take(&mut self.orders);
        let files = std::mem::take(&mut self.files);
        if !files.is_empty() {
            let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
            let mut all = self.service.send(&fds)?.to_vec();
            all.append(&mut orders);
            all.extend((fd::DONATED..).take(files.len()).map(|n| Order::new(call::CLOSE, [n], 0)));
            orders = all;
        }
        self.service.execute(&orders)
    }
}

fn bits(protection: Protection) -> u64 {
    u64::from(protection.read)
        | u64::from(protection.write) << 1
        | u64::from(protection.execute) << 2
}
