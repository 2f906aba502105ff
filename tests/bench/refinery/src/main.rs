//! `refinery-peer apply|status DATABASE FOLDER`: refinery with its defaults, as `refinery_cli` calls it.
//!
//! A binary of ours because `refinery_cli` has no status and cannot be told its database on the command line.

use std::error::Error;

use refinery::{Runner, load_sql_migrations};
use rusqlite::Connection;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [verb, database, folder] = args.as_slice() else {
        return Err("usage: refinery-peer apply|status DATABASE FOLDER".into());
    };
    let migrations = load_sql_migrations(folder)?;
    let runner = Runner::new(&migrations);
    let mut connection = Connection::open(database)?;
    match verb.as_str() {
        "apply" => {
            let report = runner.run(&mut connection)?;
            for migration in report.applied_migrations() {
                println!("applied {migration}");
            }
        }
        "status" => {
            let applied = runner.get_applied_migrations(&mut connection)?;
            for migration in runner.get_migrations() {
                let known = applied.iter().any(|a| a.version() == migration.version());
                println!("{} {migration}", if known { "applied" } else { "pending" });
            }
        }
        other => return Err(format!("unknown verb `{other}`").into()),
    }
    Ok(())
}
