//! Whole images, through the public interface and the derives.

mod damage;
mod deep;
mod graph;
mod kernel;
mod values;
mod versions;
