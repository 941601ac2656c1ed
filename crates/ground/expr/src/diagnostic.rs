//! Syntax errors drawn as people know them: the line, a caret below the place, what was expected.

use std::fmt;
use std::ops::Range;

/// A fault in the text of an expression, worded and drawn as Kong's engine does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong, in one sentence.
    pub message: String,
    /// The drawing without the message.
    drawing: String,
    /// Width of the line number, for the last line.
    margin: usize,
}

impl std::error::Error for SyntaxError {}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.drawing.is_empty() {
            return f.write_str(&self.message);
        }
        let margin = " ".repeat(self.margin);
        write!(f, "{}{margin} |\n{margin} = {}", self.drawing, self.message)
    }
}

impl SyntaxError {
    /// An error about the text as a whole.
    pub(crate) fn whole(message: impl Into<String>) -> SyntaxError {
        SyntaxError { message: message.into(), drawing: String::new(), margin: 0 }
    }

    /// An error at one place, given as a byte offset.
    pub(crate) fn at(source: &str, offset: usize, message: impl Into<String>) -> SyntaxError {
        let (line, column) = line_and_column(source, offset);
        let whole_line = line_of(source, offset);
        let rest = source.get(offset..).unwrap_or_default();
        let shown = if rest.starts_with(['\n', '\r']) { show_breaks(whole_line) } else { without_breaks(whole_line) };
        let margin = line.to_string().len();
        let pad = " ".repeat(margin);
        let underline = format!("{}^---", indent(&shown, column));
        let drawing = format!("{pad}--> {line}:{column}\n{pad} |\n{line} | {shown}\n{pad} | {underline}\n");
        SyntaxError { message: message.into(), drawing, margin }
    }

    /// An error about a stretch of the text, given in byte offsets.
    pub(crate) fn over(source: &str, span: Range<usize>, message: impl Into<String>) -> SyntaxError {
        let (line, column) = line_and_column(source, span.start);
        let (end_line, end_column) = end_of(source, span.end);
        let text = source.get(span.clone()).unwrap_or_default();
        let at_break = text.starts_with(['\n', '\r']) || text.ends_with(['\n', '\r']);
        let first = line_of(source, span.start);
        let shown = if at_break { show_breaks(first) } else { without_breaks(first) };
        let margin = line.max(end_line).to_string().len();
        let pad = " ".repeat(margin);
        let underline = underline(&shown, column, end_column);
        let mut drawing = format!("{pad}--> {line}:{column}\n{pad} |\n{line:margin$} | {shown}\n");
        if end_line > line {
            let last = line_of(source, span.end.saturating_sub(1));
            let last = if at_break { last.to_owned() } else { show_breaks(last) };
            if end_line - line > 1 {
                drawing.push_str(&format!("{pad} | ...\n"));
            }
            drawing.push_str(&format!("{end_line:margin$} | {last}\n"));
        }
        drawing.push_str(&format!("{pad} | {underline}\n"));
        SyntaxError { message: message.into(), drawing, margin }
    }
}

/// Counted from 1, columns in characters.
fn line_and_column(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    (line, before.get(start..).unwrap_or_default().chars().count() + 1)
}

/// Where a stretch ends; one that ends with a line break ends behind the break's own symbol.
fn end_of(source: &str, offset: usize) -> (usize, usize) {
    let end = line_and_column(source, offset);
    if end.1 == 1 && offset > 0 {
        let (line, column) = line_and_column(source, offset - 1);
        return (line, column + 1);
    }
    end
}

/// The line around `offset`, with its line break.
fn line_of(source: &str, offset: usize) -> &str {
    let start = source.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |i| i + 1);
    let rest = source.get(start..).unwrap_or_default();
    let end = rest.find('\n').map_or(rest.len(), |i| i + 1);
    rest.get(..end).unwrap_or_default()
}

fn without_breaks(line: &str) -> String {
    line.replace(['\r', '\n'], "")
}

fn show_breaks(line: &str) -> String {
    line.replace('\r', "\u{240d}").replace('\n', "\u{240a}")
}

/// Blanks up to `column`, tabs kept as tabs.
fn indent(line: &str, column: usize) -> String {
    line.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect()
}

fn underline(line: &str, column: usize, end_column: usize) -> String {
    let (start, end) = if column > end_column { (end_column - 1, column + 1) } else { (column, end_column) };
    let mut out: String = indent(line, start.max(1));
    out.push('^');
    if end - start > 1 {
        out.push_str(&"-".repeat(end - start - 2));
        out.push('^');
    }
    out
}
