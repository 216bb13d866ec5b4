//! [`Held`]: a heap value that compiled code and host functions keep pointers to.

use std::ptr::NonNull;

/// Owns a value at an address that does not change. Unlike a `Box` it makes no claim to be the only way
/// to the value, so raw pointers to it stay valid while it is moved about.
pub(crate) struct Held<T>(NonNull<T>);

impl<T> Held<T> {
    pub fn new(value: T) -> Self {
        // `Box::into_raw` is never null.
        Self(NonNull::from(Box::leak(Box::new(value))))
    }

    pub const fn ptr(&self) -> NonNull<T> {
        self.0
    }

    /// The value, to be read.
    ///
    /// # Safety
    /// Nothing writes the value while the reference lives.
    pub unsafe fn get(&self) -> &T {
        // SAFETY: the value lives as long as `self`; the caller promises the rest.
        unsafe { self.0.as_ref() }
    }

    /// The value, to be written.
    ///
    /// # Safety
    /// Nothing else reads or writes the value while the reference lives.
    pub unsafe fn get_mut(&mut self) -> &mut T {
        // SAFETY: the value lives as long as `self`; the caller promises the rest.
        unsafe { self.0.as_mut() }
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a `Box`, and this is the only owner.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
