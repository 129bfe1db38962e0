//! `--fix FILTER`: what is done to an event before it is sent again, in the language of jq.

use jaq_core::{
    Compiler, Ctx, Native, Vars, compile,
    data::JustLut,
    load::{Arena, File, Loader},
    unwrap_valr,
};
use jaq_json::{Val, read};

/// A filter that turns an event into the event that is sent.
pub(super) struct Fix {
    filter: compile::Filter<Native<JustLut<Val>>>,
}

impl Fix {
    /// Compiles a filter such as `.properties.amount |= tonumber`.
    ///
    /// # Errors
    /// It can't be read, or it calls a function that there is not.
    pub fn new(text: &str) -> Result<Fix, String> {
        let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let arena = Arena::default();
        let modules = Loader::new(definitions).load(&arena, File { code: text, path: () });
        let wrong = |what: String| format!("--fix {text:?} can't be used: {what}");
        let modules = modules.map_err(|errors| wrong(format!("{:?}", errors[0].1)))?;
        let filter = Compiler::default().with_funs(functions).compile(modules);
        let filter = filter.map_err(|errors| wrong(format!("{:?}", errors[0].1)))?;
        Ok(Fix { filter })
    }

    /// The event as it is to be sent; `None` where the filter gives nothing, as `select` does.
    ///
    /// # Errors
    /// The event is no JSON, the filter fails on it, or gives more than one.
    pub fn apply(&self, event: &str) -> Result<Option<String>, String> {
        let input = read::parse_single(event.as_bytes()).map_err(|e| e.to_string())?;
        let context = Ctx::<JustLut<Val>>::new(&self.filter.lut, Vars::new([]));
        let mut given = self.filter.id.run((context, input)).map(unwrap_valr);
        let Some(first) = given.next() else { return Ok(None) };
        let first = first.map_err(|e| e.to_string())?;
        match given.next() {
            None => Ok(Some(first.to_string())),
            Some(_) => Err("--fix makes several events of one".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(filter: &str, event: &str) -> Result<Option<String>, String> {
        Fix::new(filter)?.apply(event)
    }

    #[test]
    fn a_filter_mends_an_event() {
        let event =
            r#"{"type":"purchase","properties":{"amount":"19.90","big":12345678901234567890}}"#;
        assert_eq!(
            fixed(".properties.amount |= tonumber | .type = \"refund\"", event).unwrap().unwrap(),
            r#"{"type":"refund","properties":{"amount":19.90,"big":12345678901234567890}}"#
        );
        assert_eq!(fixed("select(.type == \"error\")", event), Ok(None));
    }

    #[test]
    fn what_can_not_be_done_is_said() {
        assert!(fixed(".a |= ", "{}").unwrap_err().contains("--fix"));
        assert!(fixed("nosuch", "{}").unwrap_err().contains("nosuch"));
        assert!(fixed(".a |= tonumber", r#"{"a":"x"}"#).is_err());
        assert!(fixed(".,.", "{}").unwrap_err().contains("several"));
        assert!(fixed(".", "{").is_err());
    }
}
