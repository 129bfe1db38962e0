//! Any CSV: a file of TOML (`--map`) says which of its columns is what.

use std::{collections::BTreeMap, path::Path};

use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{
    format::ExportFormat,
    moments,
    orders::{PropertyList, amount},
    record::{ImportRecord, ImportRules},
    table::{Table, TableRow},
};
use crate::domain::{
    event::{Field, Incoming},
    time::Millis,
};

/// What `--map` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnMap {
    /// The type of every row, where no column has it.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The currency of every row, where no column has it.
    currency: Option<String>,
    /// How moments are written, as `strptime` has it; without it, the usual notations are tried.
    time_format: Option<String>,
    /// The zone of moments that say none, by its IANA name.
    timezone: Option<String>,
    /// Whether amounts have a comma before their decimals, and points between thousands.
    #[serde(default)]
    decimal_comma: bool,
    /// What stands between columns; without it, what the header has most of.
    separator: Option<char>,
    columns: MappedColumns,
    /// More properties: the name that each gets, and its column.
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

/// Which column is what.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MappedColumns {
    time: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    amount: Option<String>,
    currency: Option<String>,
    user: Option<String>,
    session: Option<String>,
}

impl ColumnMap {
    /// Reads the file.
    ///
    /// # Errors
    /// It can't be read, or makes no sense.
    pub fn read(path: &Path) -> Result<ColumnMap, String> {
        let at = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| at(&e))?;
        let map: ColumnMap = toml::from_str(&text).map_err(|e| at(&e))?;
        match (&map.kind, &map.columns.kind) {
            (None, None) => Err(at(&"type is missing: of every row, or its column in [columns]")),
            _ => Ok(map),
        }
    }

    /// What stands between columns.
    ///
    /// # Errors
    /// It is no character of ASCII.
    pub fn separator(&self) -> Result<Option<u8>, String> {
        let byte =
            |it: char| u8::try_from(it).map_err(|_| format!("separator {it:?} is not ASCII"));
        self.separator.map(byte).transpose()
    }
}

/// A CSV with a map.
pub struct MappedTable {
    table: Table,
    map: ColumnMap,
    zone: Option<TimeZone>,
    time: usize,
    kind: Option<usize>,
    id: Option<usize>,
    amount: Option<usize>,
    currency: Option<usize>,
    user: Option<usize>,
    session: Option<usize>,
    properties: Vec<(String, usize)>,
}

impl MappedTable {
    /// # Errors
    /// The file lacks a column that the map names, or there is no such zone.
    pub fn new(table: Table, map: ColumnMap) -> Result<MappedTable, String> {
        let zone =
            map.timezone.as_deref().map(|name| TimeZone::get(name).map_err(|e| e.to_string()));
        let columns = &map.columns;
        let column =
            |name: &Option<String>| name.as_deref().map(|name| table.needed(&[name])).transpose();
        let properties = map.properties.iter();
        let properties =
            properties.map(|(name, column)| Ok((name.clone(), table.needed(&[column])?)));
        Ok(MappedTable {
            zone: zone.transpose()?,
            time: table.needed(&[&columns.time])?,
            kind: column(&columns.kind)?,
            id: column(&columns.id)?,
            amount: column(&columns.amount)?,
            currency: column(&columns.currency)?,
            user: column(&columns.user)?,
            session: column(&columns.session)?,
            properties: properties.collect::<Result<_, String>>()?,
            table,
            map,
        })
    }

    /// Reads the next row; `false` at the end.
    pub fn next(&mut self, rules: &ImportRules, out: &mut Vec<ImportRecord>) -> bool {
        match self.table.next() {
            None => return false,
            Some(Err((line, why))) => out.push(ImportRecord::Broken { line, why }),
            Some(Ok(row)) => {
                let record = self.record(rules, &row);
                out.push(record.unwrap_or_else(|why| ImportRecord::Broken { line: row.line, why }));
            }
        }
        true
    }

    fn record(&self, rules: &ImportRules, row: &TableRow) -> Result<ImportRecord, String> {
        let kind = row.get(self.kind).or(self.map.kind.as_deref()).ok_or("it has no type")?;
        let text = row.get(Some(self.time)).ok_or("it has no time")?;
        let time = self.moment(rules, text).ok_or_else(|| format!("{text:?} is no moment"))?;
        let amount = row.get(self.amount).map(|text| self.amount(text)).transpose()?;
        let mut properties = PropertyList::default()
            .text("amount", amount.as_deref())
            .text("currency", row.get(self.currency).or(self.map.currency.as_deref()));
        for (name, column) in &self.properties {
            properties = properties.text(name, row.get(Some(*column)));
        }
        // An order of the shop's own has this id, however it comes.
        let id = row.get(self.id).map(|id| match kind {
            "purchase" if !id.starts_with("order:") => format!("order:{id}"),
            _ => id.to_owned(),
        });
        let event = properties.event(kind, id.unwrap_or_default(), Some(&time.to_string()));
        let text = |column| {
            row.get(column).map_or(Field::Absent, |text| Field::Text(text.to_owned().into()))
        };
        let (user_id, session_id) = (text(self.user), text(self.session));
        let event = Incoming { user_id, session_id, ..event };
        Ok(rules.judge(ExportFormat::Mapped, (row.line, &row.raw()), &event))
    }

    fn moment(&self, rules: &ImportRules, text: &str) -> Option<Millis> {
        let zone = self.zone.as_ref().unwrap_or(&rules.zone);
        match &self.map.time_format {
            Some(format) => moments::read_as(format, text, zone),
            None => moments::read(text, zone),
        }
    }

    fn amount(&self, text: &str) -> Result<String, String> {
        match self.map.decimal_comma {
            false => amount(text),
            true => {
                let swapped = |mark| match mark {
                    '.' => ',',
                    ',' => '.',
                    other => other,
                };
                amount(&text.chars().map(swapped).collect::<String>())
            }
        }
    }
}
