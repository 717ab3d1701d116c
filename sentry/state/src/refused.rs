//! What does not compile. Tests only, each beside its twin that does.
//!
//! A value that holds its own kind does so through a `Box`, where depth is counted:
//! ```
//! #[derive(state::Save, state::Load)]
//! struct Tree(Vec<(u8, Option<Box<Tree>>)>);
//! ```
//! ```compile_fail,E0391
//! #[derive(state::Save, state::Load)]
//! struct Tree(Vec<(u8, Vec<Tree>)>);
//! ```
//!
//! Variants are numbered by position:
//! ```
//! #[derive(state::Save, state::Load)]
//! enum Restart { Again, #[state(since = 2)] Read, #[state(since = 3)] Wait }
//! ```
//! ```compile_fail
//! #[derive(state::Save, state::Load)]
//! enum Restart { Again, #[state(since = 3)] Read, #[state(since = 2)] Wait }
//! ```
//! ```compile_fail
//! #[derive(state::Save, state::Load)]
//! enum Restart { #[state(since = 2)] Read, Again }
//! ```
//!
//! A late lock waits with a `Default`:
//! ```
//! struct Item;
//! # #[derive(Default, state::Save, state::Load)] struct Other;
//! #[derive(state::Save, state::Load)]
//! struct Owner { #[state(early)] a: std::sync::Mutex<Box<u8>>, b: std::sync::Mutex<Other> }
//! ```
//! ```compile_fail,E0277
//! #[derive(state::Save, state::Load)]
//! struct Item;
//! #[derive(state::Save, state::Load)]
//! struct Owner { a: std::sync::Mutex<Item> }
//! ```
//!
//! Maps without an order are not saved; an attribute that does not exist or makes no sense is
//! an error:
//! ```compile_fail,E0277
//! #[derive(state::Save, state::Load)]
//! struct Owner(std::collections::HashMap<u8, u8>);
//! ```
//! ```compile_fail
//! #[derive(state::Save, state::Load)]
//! struct Owner(#[state(skipped)] u8);
//! ```
//! ```compile_fail
//! #[derive(state::Save, state::Load)]
//! struct Owner(#[state(skip, since = 2)] u8);
//! ```
//! ```compile_fail
//! #[derive(state::Save, state::Load)]
//! #[state(since = 2)]
//! struct Owner(u8);
//! ```
//! ```compile_fail
//! #[derive(state::Save, state::Load)]
//! enum Never {}
//! ```
