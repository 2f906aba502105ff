//! A page as Markdown.

use super::chart;
use super::page::{Block, Cell};

pub(super) fn write(page: &[Block<'_>]) -> String {
    let mut out = String::new();
    for block in page {
        match block {
            Block::Title(text) => out.push_str(&format!("# {}\n\n", line(text))),
            Block::Lead(text) | Block::Text(text) => out.push_str(&format!("{}\n\n", line(text))),
            Block::Figures(figures) => {
                let figures = figures.iter().map(|(figure, of, _)| format!("- {of}: **{}**\n", line(figure)));
                out.push_str(&figures.collect::<String>());
                out.push('\n');
            }
            Block::Heading(text) => out.push_str(&format!("## {}\n\n", line(text))),
            Block::Smaller(text) => out.push_str(&format!("### {}\n\n", line(text))),
            Block::Verbatim(text) => out.push_str(&verbatim(text)),
            Block::Log(lines) => {
                let row = |texts: &[String; 4]| texts.iter().map(|text| Cell::Text(text.clone())).collect();
                out.push_str(&table(&["at", "what", "step", ""], &lines.iter().map(row).collect::<Vec<_>>()));
            }
            Block::Table(head, rows) => out.push_str(&table(head, rows)),
            Block::Chart(series) => out.push_str(&format!("`{}`\n\n", chart::blocks(series))),
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// A fence that is longer than any inside.
fn verbatim(text: &str) -> String {
    let longest = text.split(|c: char| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}text\n{}\n{fence}\n\n", text.trim_end())
}

fn table(head: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut out = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(cell).collect();
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    out.push('\n');
    out
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) | Cell::Time(text) | Cell::Word(text, _) => line(text),
        Cell::Code(text) => format!("`{text}`"),
        Cell::Bar(done, all) => format!("{done} of {all}"),
    }
}

/// Text of one line in which nothing means anything to Markdown.
fn line(text: &str) -> String {
    let mut out = String::new();
    for c in crate::style::plain(text).chars() {
        match c {
            '\n' | '\t' => out.push(' '),
            '|' | '*' | '_' | '`' | '<' | '[' | ']' | '#' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}
