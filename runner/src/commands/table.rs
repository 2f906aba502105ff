//! Tables for people: aligned columns without borders, stable byte for byte.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

/// Rows as aligned columns under a heading, indented by two.
pub(super) fn columns(heading: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if !heading.is_empty() {
        table.set_header(heading.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>());
    }
    for row in rows {
        table.add_row(row);
    }
    let mut text = String::new();
    for line in table.to_string().lines() {
        text.push_str(&format!(" {}", line.trim_end()));
        text.push('\n');
    }
    text
}
