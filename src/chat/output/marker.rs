//! Markers in text that arrives in pieces.

/// Where a marker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Here.
    At(usize),
    /// Nowhere yet, but from here on the text may grow into it.
    Open(usize),
}

/// Finds `marker` in `text`; nothing before the place that it gives is of it.
pub(super) fn find(text: &str, marker: &str) -> Found {
    if let Some(at) = text.find(marker) {
        return Found::At(at);
    }
    let earliest = (text.len() + 1).saturating_sub(marker.len());
    let open = (earliest..text.len())
        .filter(|&at| text.is_char_boundary(at))
        .find(|&at| marker.starts_with(&text[at..]));
    Found::Open(open.unwrap_or(text.len()))
}

/// Whether `text` begins with `marker`; `None` while it is too short to tell.
pub(super) fn begins(text: &str, marker: &str) -> Option<bool> {
    if text.len() < marker.len() && marker.starts_with(text) {
        return None;
    }
    Some(text.starts_with(marker))
}

/// Where the white space at the end of `text` begins.
pub(super) fn trimmed_len(text: &str) -> usize {
    text.trim_end().len()
}
