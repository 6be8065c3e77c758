//! What a token is for.

/// What a token is for, as `tokenizer.ggml.token_type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TokenKind {
    /// Not said (0); treated as [`TokenKind::Normal`].
    Undefined,
    /// Text, in the vocabulary's own spelling (1).
    Normal,
    /// What stands for text that has no token (2).
    Unknown,
    /// Steers the model, gives no text (3).
    Control,
    /// Text as it is, never split or merged (4).
    UserDefined,
    /// A filler that the model was not trained on (5).
    Unused,
    /// One byte, written `<0x0A>` (6).
    Byte,
}

impl TokenKind {
    /// The kind with number `value` in a GGUF file, if there is one.
    pub fn from_gguf(value: i32) -> Option<Self> {
        Some(match value {
            0 => TokenKind::Undefined,
            1 => TokenKind::Normal,
            2 => TokenKind::Unknown,
            3 => TokenKind::Control,
            4 => TokenKind::UserDefined,
            5 => TokenKind::Unused,
            6 => TokenKind::Byte,
            _ => return None,
        })
    }

    /// Whether the token steers the model rather than stand for text.
    pub fn is_special(self) -> bool {
        matches!(self, TokenKind::Control | TokenKind::Unknown)
    }
}
