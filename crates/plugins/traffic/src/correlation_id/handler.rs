//! The id is settled before anything else runs, and shown again on whatever answer comes.

use gibbon_pdk::{Build, Exchange, Handler, Host, Step};

use super::config::Config;
use super::generator::Generator;

pub struct Correlator {
    header: String,
    echo: bool,
    generator: Generator,
}

/// The id of an exchange, kept for the answer.
struct CorrelationId(String);

impl Correlator {
    pub fn new(config: Config, build: &Build<'_>) -> Self {
        let generator = Generator::new(config.generator, build);
        Correlator { header: config.header_name, echo: config.echo_downstream, generator }
    }

    /// The client's id, if it sent one.
    fn given(&self, x: &Exchange) -> Option<String> {
        let value = x.request.headers.get(&self.header).filter(|value| !value.is_empty())?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

impl Handler for Correlator {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        let id = self.given(x).unwrap_or_else(|| {
            let id = self.generator.make(x, host);
            x.request.headers.set(&self.header, &id);
            id
        });
        x.log_values.push(("correlation_id".into(), id.as_str().into()));
        if self.echo {
            x.slots.set(CorrelationId(id));
        }
        Step::NEXT
    }

    /// An answer that came before access ran still gets an id.
    fn header_filter(&self, x: &mut Exchange, host: &Host) {
        if !self.echo {
            return;
        }
        let kept = x.slots.take::<CorrelationId>().map(|kept| kept.0);
        let id = kept.or_else(|| self.given(x)).unwrap_or_else(|| self.generator.make(x, host));
        x.response.headers.set(&self.header, &id);
    }
}
