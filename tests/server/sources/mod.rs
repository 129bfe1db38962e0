//! Checks that `docs/sources/` is true. The pastes of each page are run as a user would run them, against a
//! real server with TLS, and what is stored then must be the rows that the page shows.

/// Makes a test of each page, so that the pages are run side by side.
macro_rules! pages {
    ($($name:ident = $page:literal),* $(,)?) => {
        /// The pages that are run here.
        pub const PAGES: &[&str] = &[$($page),*];

        $(#[test]
        fn $name() {
            super::page::check($page);
        })*
    };
}

mod overview;
mod page;
mod paste;
mod plain;
mod runner;
mod sdk;
mod site;
mod stored;
