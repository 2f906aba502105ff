//! A page as one self-contained HTML file: its own style, no script, nothing fetched; on paper as on a screen.

use super::chart;
use super::page::{Block, Cell, Tone};

const STYLE: &str = include_str!("page.css");

pub(super) fn write(page: &[Block<'_>]) -> String {
    let title = page.iter().find_map(|block| match block {
        Block::Title(title) => Some(escape(title)),
        _ => None,
    });
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        title.unwrap_or_default()
    );
    let mut open = false;
    for block in page {
        if matches!(block, Block::Heading(_)) {
            out.push_str(if open { "</section>\n<section>\n" } else { "<section>\n" });
            open = true;
        }
        out.push_str(&one(block));
    }
    out.push_str(if open { "</section>\n" } else { "" });
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn one(block: &Block<'_>) -> String {
    match block {
        Block::Title(text) => format!("<h1>{}</h1>\n", escape(text)),
        Block::Lead(text) => format!("<p class=\"lead\">{}</p>\n", escape(text)),
        Block::Heading(text) => format!("<h2>{}</h2>\n", escape(text)),
        Block::Smaller(text) => format!("<h3>{}</h3>\n", escape(text)),
        Block::Text(text) => format!("<p>{}</p>\n", with_code(text)),
        Block::Verbatim(text) => format!("<pre>{}</pre>\n", escape(text)),
        Block::Chart(series) => format!("<figure>{}</figure>\n", chart::svg(series)),
        Block::Figures(figures) => {
            let figure = |(figure, of, how): &(String, &str, Tone)| {
                format!("<div><dt>{of}</dt><dd class=\"{}\">{}</dd></div>", tone(*how), escape(figure))
            };
            format!("<dl class=\"figures\">{}</dl>\n", figures.iter().map(figure).collect::<String>())
        }
        Block::Log(lines) => log(lines),
        Block::Table(head, rows) => table(head, rows),
    }
}

fn table(head: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut out = "<table>\n<thead><tr>".to_owned();
    head.iter().for_each(|name| out.push_str(&format!("<th scope=\"col\">{}</th>", escape(name))));
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (name, cell) in head.iter().zip(row) {
            let (class, inner) = match cell {
                Cell::Text(text) => ("", with_code(text)),
                Cell::Time(text) => ("time", escape(text)),
                Cell::Code(text) => ("", format!("<code>{}</code>", escape(text))),
                Cell::Word(text, how) => (tone(*how), escape(text)),
                Cell::Bar(done, all) => ("steps", bar(*done, *all)),
            };
            // On a narrow screen a row is a card, and each cell says what it is.
            out.push_str(&format!("<td class=\"{class}\" data-label=\"{}\">{inner}</td>", escape(name)));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
    out
}

fn log(lines: &[[String; 4]]) -> String {
    let line = |[at, what, step, more]: &[String; 4]| {
        let (at, what, step) = (escape(at), escape(what), escape(step));
        format!(
            "<tr><td class=\"time\">{at}</td><td class=\"what\">{what}</td><td>{step}</td><td>{}</td></tr>\n",
            with_code(more)
        )
    };
    format!("<table class=\"log\">\n<tbody>\n{}</tbody>\n</table>\n", lines.iter().map(line).collect::<String>())
}

/// Text with what stands between backticks as code.
fn with_code(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escape(text);
    }
    let part = |(at, part): (usize, &&str)| match at % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", escape(part)),
    };
    parts.iter().enumerate().map(part).collect()
}

fn bar(done: usize, all: usize) -> String {
    let width = if all == 0 { 0.0 } else { 100.0 * done as f64 / all as f64 };
    let rest = if done == all { "full" } else { "part" };
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"whole\" width=\"100\" height=\"10\"/><rect class=\"{rest}\" width=\"{width:.1}\" height=\"10\"/></svg>\
         <span>{done} of {all}</span>"
    )
}

fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "",
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    }
}

/// Text as HTML shows it, whatever it holds.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in crate::style::plain(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
