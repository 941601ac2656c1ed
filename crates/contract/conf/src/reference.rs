//! The reference of all settings as a Markdown table, written from the table so that the two cannot differ.

use std::fmt::Write as _;

use crate::table::{self, Default, Effect, Setting};

/// Renders the reference.
#[must_use]
pub fn render() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut section = "";
    for setting in table::all() {
        if setting.section != section {
            section = setting.section;
            let _ = write!(page, "\n## {section}\n\n| setting | value | default | meaning |\n|---|---|---|---|\n");
        }
        let _ = writeln!(page, "{}", row(setting));
    }
    page
}

const INTRODUCTION: &str = "# Settings

Settings are read from `kong.conf` (`-c FILE`, else `/etc/kong/kong.conf`, else `/etc/kong.conf`), from `KONG_NAME`
variables, from `GIBBON_NAME` variables and from the command line; what comes later in this list wins. `gibbon check`
reads them all and says what is wrong, where, and what would be valid.

A line is `name = value`; `#` begins a comment and `\\#` is a plain `#`; a backslash at the end of a line continues it. A
value of several lines (a certificate, a declarative text) is written as `name = |`, followed by its lines, each begun
with `|`.

A setting marked *no effect* is recognised, so that existing files work, and changes nothing for the reason given. One
marked *not yet* asks for what is not built: `check` and the start warn whoever gives it.
";

fn row(setting: &Setting) -> String {
    let meaning = match setting.effect {
        Effect::Honoured => setting.meaning.to_owned(),
        Effect::NoEffect(reason) => format!("{} *No effect:* {reason}.", setting.meaning),
        Effect::Pending(reason) => format!("{} *Not yet:* {reason}.", setting.meaning),
    };
    let cell = |text: &str| text.replace('|', "\\|");
    format!(
        "| `{}` | {} | {} | {} |",
        setting.name,
        cell(&setting.kind.expects()),
        cell(&default(setting)),
        cell(&meaning)
    )
}

fn default(setting: &Setting) -> String {
    match setting.default {
        Default::Is(value) => format!("`{value}`"),
        Default::Unset => String::new(),
        Default::Follows(other) => format!("as `{other}`"),
        Default::Derived(from) => format!("`{from}`"),
        Default::Moved { v3_10, v3_15 } => format!("`{v3_10}`; `{v3_15}` with `compat_version = 3.15`"),
    }
}
