//! Scores the search for causes: `cargo bench --bench causes`. It prints how often planted causes are found
//! in a simulated shop and how often a general outage is given one. With `INCIDENTS=FOLDER` it also scores
//! labelled incidents of a real service (the RobustSpot data set: `labels.json` and `cases/*.csv.gz` with
//! the columns min, value, cnt and one for each property), as docs/INSIGHT.md says.

mod incidents;
mod planted;

fn main() {
    match std::env::var("INCIDENTS") {
        Ok(folder) => incidents::score(std::path::Path::new(&folder)),
        Err(_) => println!("incidents: not scored, since INCIDENTS names no folder of them"),
    }
    planted::score();
}
