//! What is measured beside each other: each column adds something to one before it.

/// One column of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// The engine's own crate with its own defaults, no limit of any kind: what all others are divided by.
    Raw,
    /// The same once more: how far from 1.00 it comes out is what the machine's noise makes of nothing.
    Again,
    /// As raw, with the settings of our adapter.
    Bare,
    /// Our adapter: prepared with portable fuel, which is never used up; caps so high that none is met; no deadline.
    Portable,
    /// And caps on memory, table elements and host calls.
    PortableCaps,
    /// And a deadline.
    PortableDeadline,
    /// As [`Column::Portable`], with the engine's own fuel.
    Native,
    /// And the caps.
    NativeCaps,
    /// And a deadline.
    NativeDeadline,
    /// A guest of a sandbox, called as an embedder would: portable fuel, caps, deadline, policy, run permits, receipts.
    Sandbox,
}

impl Column {
    /// Every column, in the order of the tables.
    pub const ALL: [Self; 10] = [
        Self::Raw,
        Self::Again,
        Self::Bare,
        Self::Portable,
        Self::PortableCaps,
        Self::PortableDeadline,
        Self::Native,
        Self::NativeCaps,
        Self::NativeDeadline,
        Self::Sandbox,
    ];

    /// Its name where each is named alone, as in what is kept of the figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Again => "raw again",
            Self::Bare => "bare",
            Self::Portable => "portable",
            Self::PortableCaps => "portable + caps",
            Self::PortableDeadline => "portable + caps + deadline",
            Self::Native => "native",
            Self::NativeCaps => "native + caps",
            Self::NativeDeadline => "native + caps + deadline",
            Self::Sandbox => "sandbox",
        }
    }

    /// Its name at the head of a table, where what it adds to is on its left.
    #[must_use]
    pub const fn head(self) -> &'static str {
        match self {
            Self::PortableCaps | Self::NativeCaps => "+ caps",
            Self::PortableDeadline | Self::NativeDeadline => "+ deadline",
            _ => self.name(),
        }
    }

    /// The column of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }
}
