//! Whether the visitor of an event refuses to be analysed, and who says so.
//!
//! An event of such a visitor counts like any other, but nothing in it says who the visitor is: see
//! [`crate::domain::event::Incoming::without_identity`] and
//! [`crate::domain::privacy::Privacy::without_identity`].

/// Who says that a visitor refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalSignal {
    /// The browser, by Global Privacy Control: `Sec-GPC: 1`.
    Gpc,
    /// The browser, by Do Not Track: `DNT: 1`.
    Dnt,
    /// The event itself, which has what the visitor chose in the page's banner.
    Consent,
}

impl RefusalSignal {
    /// All of them.
    pub const ALL: [RefusalSignal; 3] =
        [RefusalSignal::Gpc, RefusalSignal::Dnt, RefusalSignal::Consent];

    /// The label of `floodmark_events_without_identity_total{signal}`.
    pub fn name(self) -> &'static str {
        match self {
            RefusalSignal::Gpc => "gpc",
            RefusalSignal::Dnt => "dnt",
            RefusalSignal::Consent => "consent",
        }
    }
}

/// What the configuration makes of refusals (`[privacy]`).
#[derive(Clone, Debug, Default)]
pub struct ConsentRules {
    /// `privacy.respect_gpc`
    pub gpc: bool,
    /// `privacy.respect_dnt`
    pub dnt: bool,
    /// `privacy.consent_categories` in small letters.
    pub categories: Vec<String>,
}

impl ConsentRules {
    /// The refusal that the head of a request says, where the configuration listens to it.
    pub fn of_browser(&self, sends_gpc: bool, sends_dnt: bool) -> Option<RefusalSignal> {
        match (self.gpc && sends_gpc, self.dnt && sends_dnt) {
            (true, _) => Some(RefusalSignal::Gpc),
            (_, true) => Some(RefusalSignal::Dnt),
            _ => None,
        }
    }

    /// The refusal that an event says: one of the categories that its visitor refused is analysis.
    pub fn of_event(&self, refused: &[String]) -> Option<RefusalSignal> {
        let is_analysis = |category: &String| self.categories.contains(&category.to_lowercase());
        refused.iter().any(is_analysis).then_some(RefusalSignal::Consent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_where_the_configuration_listens() {
        let rules = |gpc, dnt| ConsentRules { gpc, dnt, categories: vec!["analytics".to_owned()] };
        assert_eq!(rules(true, true).of_browser(true, true), Some(RefusalSignal::Gpc));
        assert_eq!(rules(true, true).of_browser(false, true), Some(RefusalSignal::Dnt));
        assert_eq!(rules(false, true).of_browser(true, false), None);
        assert_eq!(rules(true, false).of_browser(false, true), None);
        let refused = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            rules(true, true).of_event(&names)
        };
        assert_eq!(refused(&["Advertising", "Analytics"]), Some(RefusalSignal::Consent));
        assert_eq!(refused(&["Advertising"]), None);
        assert_eq!(refused(&[]), None);
    }
}
